package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"sync"
	"sync/atomic"
	"time"
)

// What the middleware returns that lets a call not through.
var (
	ErrRateLimited = errors.New("rate limit exceeded")
	ErrCircuitOpen = errors.New("circuit breaker is open")
	ErrUnavailable = errors.New("temporarily unavailable")
)

// Metrics counts calls and how long they took, by the name of the message.
type Metrics struct {
	mutex  sync.RWMutex
	counts map[string]*Counts
}

// Counts are those of one name; they are changed without a lock.
type Counts struct {
	calls       int64
	errors      int64
	nanoseconds int64
	slowest     int64
}

// NewMetrics returns metrics of no calls yet.
func NewMetrics() *Metrics {
	return &Metrics{counts: make(map[string]*Counts)}
}

func (m *Metrics) of(name string) *Counts {
	m.mutex.RLock()
	counts, exists := m.counts[name]
	m.mutex.RUnlock()
	if exists {
		return counts
	}
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if counts, exists = m.counts[name]; !exists {
		counts = &Counts{}
		m.counts[name] = counts
	}
	return counts
}

func (c *Counts) add(took int64, err error) {
	atomic.AddInt64(&c.calls, 1)
	if err != nil {
		atomic.AddInt64(&c.errors, 1)
	}
	atomic.AddInt64(&c.nanoseconds, took)
	for {
		slowest := atomic.LoadInt64(&c.slowest)
		if took <= slowest || atomic.CompareAndSwapInt64(&c.slowest, slowest, took) {
			return
		}
	}
}

// Middleware measures what it wraps.
func (m *Metrics) Middleware(next Handler) Handler {
	return HandlerFunc(func(ctx context.Context, message Message) (interface{}, error) {
		start := time.Now()
		result, err := next.Handle(ctx, message)
		m.of(message.Name()).add(int64(time.Since(start)), err)
		return result, err
	})
}

// Validator is a message that can tell what is wrong with it.
type Validator interface {
	Validate() error
}

// ValidationMiddleware refuses messages that are not valid.
func ValidationMiddleware(next Handler) Handler {
	return HandlerFunc(func(ctx context.Context, message Message) (interface{}, error) {
		if validator, ok := message.(Validator); ok {
			if err := validator.Validate(); err != nil {
				return nil, fmt.Errorf("validation failed: %w", err)
			}
		}
		return next.Handle(ctx, message)
	})
}

// RateLimiter is a token bucket.
type RateLimiter struct {
	mutex  sync.Mutex
	rate   float64 // tokens for each second
	burst  float64
	tokens float64
	filled time.Time
}

// NewRateLimiter returns a full bucket.
func NewRateLimiter(requests int, window time.Duration, burst int) *RateLimiter {
	return &RateLimiter{
		rate:   float64(requests) / window.Seconds(),
		burst:  float64(burst),
		tokens: float64(burst),
		filled: time.Now(),
	}
}

// Allow takes a token if there is one.
func (l *RateLimiter) Allow() bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	now := time.Now()
	l.tokens += now.Sub(l.filled).Seconds() * l.rate
	if l.tokens > l.burst {
		l.tokens = l.burst
	}
	l.filled = now
	if l.tokens < 1 {
		return false
	}
	l.tokens--
	return true
}

// Middleware lets through what gets a token.
func (l *RateLimiter) Middleware(next Handler) Handler {
	return HandlerFunc(func(ctx context.Context, message Message) (interface{}, error) {
		if !l.Allow() {
			return nil, ErrRateLimited
		}
		return next.Handle(ctx, message)
	})
}

// RetryMiddleware tries again what is temporarily unavailable, later and later.
func RetryMiddleware(attempts int, delay time.Duration) Middleware {
	return func(next Handler) Handler {
		return HandlerFunc(func(ctx context.Context, message Message) (interface{}, error) {
			for attempt := 1; ; attempt++ {
				result, err := next.Handle(ctx, message)
				if err == nil || attempt == attempts || !errors.Is(err, ErrUnavailable) {
					return result, err
				}
				timer := time.NewTimer(time.Duration(rand.Int63n(int64(delay) << attempt)))
				select {
				case <-timer.C:
				case <-ctx.Done():
					timer.Stop()
					return nil, ctx.Err()
				}
			}
		})
	}
}

type circuitState int

const (
	closed circuitState = iota
	open
	halfOpen
)

// CircuitBreaker opens at so many failures in a row, and probes after a timeout.
type CircuitBreaker struct {
	mutex     sync.Mutex
	threshold int
	timeout   time.Duration
	state     circuitState
	failures  int
	opened    time.Time
}

// NewCircuitBreaker returns a closed one.
func NewCircuitBreaker(threshold int, timeout time.Duration) *CircuitBreaker {
	return &CircuitBreaker{threshold: threshold, timeout: timeout}
}

func (b *CircuitBreaker) enter() error {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	switch b.state {
	case open:
		if time.Since(b.opened) < b.timeout {
			return ErrCircuitOpen
		}
		b.state = halfOpen
	case halfOpen:
		return ErrCircuitOpen
	}
	return nil
}

func (b *CircuitBreaker) leave(err error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if err == nil {
		b.state = closed
		b.failures = 0
		return
	}
	b.failures++
	if b.state == halfOpen || b.failures >= b.threshold {
		b.state = open
		b.opened = time.Now()
	}
}

// Middleware calls nothing that failed too often.
func (b *CircuitBreaker) Middleware(next Handler) Handler {
	return HandlerFunc(func(ctx context.Context, message Message) (interface{}, error) {
		if err := b.enter(); err != nil {
			return nil, err
		}
		result, err := next.Handle(ctx, message)
		b.leave(err)
		return result, err
	})
}

// TimeoutMiddleware gives a context a deadline, which the handler is to look at.
func TimeoutMiddleware(timeout time.Duration) Middleware {
	return func(next Handler) Handler {
		return HandlerFunc(func(ctx context.Context, message Message) (interface{}, error) {
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			return next.Handle(ctx, message)
		})
	}
}
