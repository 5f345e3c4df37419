// Measure cases of the bus and print JSON.
//
//	go run . -case timeout -rounds 20 -benchtime 10ms
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"testing"
)

type measurement struct {
	Name        string  `json:"name"`
	Nanoseconds float64 `json:"ns"`
	Version     string  `json:"version"`
}

// sink keeps results, so that no call is optimised away.
var sink interface{}

func benchmark(c benchmarkCase) (func(b *testing.B), error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	bus, err := c.bus(c.handler)
	if err != nil {
		return nil, err
	}
	return func(b *testing.B) {
		ctx := context.Background()
		if _, err := bus.Execute(ctx, c.message); err != nil {
			b.Fatal(err)
		}
		b.ResetTimer()
		for i := 0; i < b.N; i++ {
			result, err := bus.Execute(ctx, c.message)
			if err != nil {
				b.Fatal(err)
			}
			sink = result
		}
	}, nil
}

// measure returns the best of several rounds.
func measure(c benchmarkCase, rounds int) (measurement, error) {
	run, err := benchmark(c)
	if err != nil {
		return measurement{}, err
	}
	best := measurement{Name: c.name, Version: runtime.Version()}
	for round := 0; round < rounds; round++ {
		result := testing.Benchmark(run)
		if result.N == 0 {
			return measurement{}, fmt.Errorf("%s: failed", c.name)
		}
		nanoseconds := float64(result.T.Nanoseconds()) / float64(result.N)
		if round == 0 || nanoseconds < best.Nanoseconds {
			best.Nanoseconds = nanoseconds
		}
	}
	return best, nil
}

func main() {
	testing.Init()
	name := flag.String("case", "", "the one to measure; all if none")
	rounds := flag.Int("rounds", 20, "of which the best counts")
	benchtime := flag.String("benchtime", "10ms", "how long a round lasts at least")
	flag.Parse()
	if err := flag.Set("test.benchtime", *benchtime); err != nil {
		fail(err)
	}
	measured := []measurement{}
	for _, c := range cases() {
		if *name != "" && *name != c.name {
			continue
		}
		one, err := measure(c, *rounds)
		if err != nil {
			fail(err)
		}
		measured = append(measured, one)
	}
	if len(measured) == 0 {
		fail(fmt.Errorf("no case is named %q", *name))
	}
	if err := json.NewEncoder(os.Stdout).Encode(measured); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
