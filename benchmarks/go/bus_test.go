package main

import (
	"context"
	"errors"
	"testing"
	"time"
)

func BenchmarkCases(b *testing.B) {
	for _, c := range cases() {
		run, err := benchmark(c)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(c.name, run)
	}
}

func executed(t *testing.T, handler HandlerFunc, times int, middleware ...Middleware) error {
	t.Helper()
	bus := NewBus(middleware...)
	if err := bus.Register(command.Name(), handler); err != nil {
		t.Fatal(err)
	}
	var err error
	for i := 0; i < times; i++ {
		_, err = bus.Execute(context.Background(), command)
	}
	return err
}

func unavailable(ctx context.Context, message Message) (interface{}, error) {
	return nil, ErrUnavailable
}

func TestCasesDoTheirWork(t *testing.T) {
	for _, c := range cases() {
		if err := c.check(); err != nil {
			t.Error(err)
		}
	}
}

func TestNoHandler(t *testing.T) {
	if _, err := NewBus().Execute(context.Background(), command); err == nil {
		t.Error("found one")
	}
}

func TestLimiterRefuses(t *testing.T) {
	limiter := NewRateLimiter(1, time.Hour, 2)
	if err := executed(t, handleCommand, 2, limiter.Middleware); err != nil {
		t.Error(err)
	}
	if err := executed(t, handleCommand, 1, limiter.Middleware); err != ErrRateLimited {
		t.Error(err)
	}
}

func TestBreakerOpens(t *testing.T) {
	breaker := NewCircuitBreaker(2, time.Hour)
	if err := executed(t, unavailable, 2, breaker.Middleware); err != ErrUnavailable {
		t.Error(err)
	}
	if err := executed(t, handleCommand, 1, breaker.Middleware); err != ErrCircuitOpen {
		t.Error(err)
	}
}

func TestRetrySucceedsLater(t *testing.T) {
	calls := 0
	flaky := func(ctx context.Context, message Message) (interface{}, error) {
		calls++
		if calls < 3 {
			return nil, ErrUnavailable
		}
		return quantity, nil
	}
	if err := executed(t, flaky, 1, RetryMiddleware(3, time.Microsecond)); err != nil {
		t.Error(err)
	}
	if calls != 3 {
		t.Error(calls)
	}
}

func TestTimeoutEndsTheContext(t *testing.T) {
	waiting := func(ctx context.Context, message Message) (interface{}, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	err := executed(t, waiting, 1, TimeoutMiddleware(time.Millisecond))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestValidationRefuses(t *testing.T) {
	bus := NewBus(ValidationMiddleware)
	if err := bus.Register(command.Name(), HandlerFunc(handleCommand)); err != nil {
		t.Fatal(err)
	}
	if _, err := bus.Execute(context.Background(), CreateOrder{"", 1}); err == nil {
		t.Error("it is valid")
	}
}

func TestMetricsCount(t *testing.T) {
	metrics := NewMetrics()
	_ = executed(t, unavailable, 3, metrics.Middleware)
	counts := metrics.of(command.Name())
	if counts.calls != 3 || counts.errors != 3 {
		t.Error(counts)
	}
}
