package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

type entry struct {
	value   interface{}
	expires time.Time
}

// Cache remembers results of queries for a while.
type Cache[K comparable] struct {
	mutex   sync.RWMutex
	ttl     time.Duration
	entries map[K]entry
	key     func(Message) K
}

// NewCache returns an empty one; key tells queries apart.
func NewCache[K comparable](ttl time.Duration, key func(Message) K) *Cache[K] {
	return &Cache[K]{ttl: ttl, entries: make(map[K]entry), key: key}
}

// FormattedKey is the guide's: any query has one.
func FormattedKey(query Message) string {
	return fmt.Sprintf("%s:%v", query.Name(), query)
}

// OwnKey is the query itself: a function for each type of queries.
func OwnKey(query Message) FindOrder {
	return query.(FindOrder)
}

// Middleware asks the handler for what is not remembered.
func (c *Cache[K]) Middleware(next Handler) Handler {
	return HandlerFunc(func(ctx context.Context, query Message) (interface{}, error) {
		key := c.key(query)
		c.mutex.RLock()
		found, exists := c.entries[key]
		c.mutex.RUnlock()
		if exists && time.Now().Before(found.expires) {
			return found.value, nil
		}
		result, err := next.Handle(ctx, query)
		if err != nil {
			return nil, err
		}
		c.mutex.Lock()
		c.entries[key] = entry{result, time.Now().Add(c.ttl)}
		c.mutex.Unlock()
		return result, nil
	})
}
