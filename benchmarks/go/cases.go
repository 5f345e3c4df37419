package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	quantity    = 7
	longestName = 100
)

// CreateOrder is the command of all cases but the cached ones.
type CreateOrder struct {
	ItemName string
	Quantity int
}

// Name finds its handler.
func (CreateOrder) Name() string { return "CreateOrder" }

// Validate tells what is wrong with it.
func (c CreateOrder) Validate() error {
	if len(c.ItemName) == 0 || len(c.ItemName) > longestName {
		return errors.New("name: between 1 and 100 characters")
	}
	if c.Quantity < 1 {
		return errors.New("quantity: at least 1")
	}
	return nil
}

// FindOrder is the query of the cached cases.
type FindOrder struct {
	ItemName string
	Quantity int
}

// Name finds its handler.
func (FindOrder) Name() string { return "FindOrder" }

var (
	command = CreateOrder{"a bolt", quantity}
	query   = FindOrder{"a bolt", quantity}
)

func handleCommand(ctx context.Context, message Message) (interface{}, error) {
	return message.(CreateOrder).Quantity, nil
}

func handleQuery(ctx context.Context, message Message) (interface{}, error) {
	return message.(FindOrder).Quantity, nil
}

// protections returns what is between metrics and timeout.
func protections() []Middleware {
	limiter := NewRateLimiter(1_000_000, time.Second, 1_000_000_000)
	breaker := NewCircuitBreaker(5, 30*time.Second)
	return []Middleware{
		NewMetrics().Middleware,
		ValidationMiddleware,
		limiter.Middleware,
		RetryMiddleware(3, 100*time.Millisecond),
		breaker.Middleware,
	}
}

type benchmarkCase struct {
	name       string
	message    Message
	handler    HandlerFunc
	middleware func() []Middleware
	cached     bool
}

func cases() []benchmarkCase {
	return []benchmarkCase{
		{"bare", command, handleCommand, func() []Middleware { return nil }, false},
		{"metrics", command, handleCommand, func() []Middleware {
			return []Middleware{NewMetrics().Middleware}
		}, false},
		{"stages", command, handleCommand, protections, false},
		{"timeout", command, handleCommand, func() []Middleware {
			return append(protections(), TimeoutMiddleware(30*time.Second))
		}, false},
		{"cached", query, handleQuery, func() []Middleware {
			return []Middleware{NewCache(time.Hour, FormattedKey).Middleware}
		}, true},
		{"cached by value", query, handleQuery, func() []Middleware {
			return []Middleware{NewCache(time.Hour, OwnKey).Middleware}
		}, true},
	}
}

func (c benchmarkCase) bus(handler Handler) (*Bus, error) {
	bus := NewBus(c.middleware()...)
	return bus, bus.Register(c.message.Name(), handler)
}

// check returns an error unless a dispatch does what the case is about.
func (c benchmarkCase) check() error {
	handled := 0
	bus, err := c.bus(HandlerFunc(func(ctx context.Context, message Message) (interface{}, error) {
		handled++
		return c.handler(ctx, message)
	}))
	if err != nil {
		return err
	}
	expected := 2
	if c.cached {
		expected = 1
	}
	for i := 0; i < 2; i++ {
		result, err := bus.Execute(context.Background(), c.message)
		if err != nil {
			return err
		}
		if result != quantity {
			return fmt.Errorf("%s: %v instead of %d", c.name, result, quantity)
		}
	}
	if handled != expected {
		return fmt.Errorf("%s: %d calls of the handler instead of %d", c.name, handled, expected)
	}
	return nil
}
