// Command and query buses as one writes them in Go: handlers by name in a map behind a
// read-write lock, middleware as closures that wrap a handler. A handler is wrapped when
// it is registered, so that a dispatch builds nothing.
package main

import (
	"context"
	"fmt"
	"sync"
)

// Message is a command or a query; its name finds the handler.
type Message interface {
	Name() string
}

// Handler handles the messages of one name.
type Handler interface {
	Handle(ctx context.Context, message Message) (interface{}, error)
}

// HandlerFunc makes a handler of a function.
type HandlerFunc func(ctx context.Context, message Message) (interface{}, error)

// Handle calls the function.
func (f HandlerFunc) Handle(ctx context.Context, message Message) (interface{}, error) {
	return f(ctx, message)
}

// Middleware wraps a handler in another.
type Middleware func(next Handler) Handler

// Bus finds the handler of a message.
type Bus struct {
	mutex      sync.RWMutex
	handlers   map[string]Handler
	middleware []Middleware
}

// NewBus returns a bus whose first middleware is the outermost.
func NewBus(middleware ...Middleware) *Bus {
	return &Bus{handlers: make(map[string]Handler), middleware: middleware}
}

// Register wraps a handler in the middleware of the bus and keeps it under a name.
func (b *Bus) Register(name string, handler Handler) error {
	for i := len(b.middleware) - 1; i >= 0; i-- {
		handler = b.middleware[i](handler)
	}
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if _, exists := b.handlers[name]; exists {
		return fmt.Errorf("handler already registered: %s", name)
	}
	b.handlers[name] = handler
	return nil
}

// Execute lets the handler of a message handle it.
func (b *Bus) Execute(ctx context.Context, message Message) (interface{}, error) {
	b.mutex.RLock()
	handler, exists := b.handlers[message.Name()]
	b.mutex.RUnlock()
	if !exists {
		return nil, fmt.Errorf("no handler registered: %s", message.Name())
	}
	return handler.Handle(ctx, message)
}
