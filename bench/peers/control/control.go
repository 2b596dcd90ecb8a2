// Package control is how the benchmark speaks to a server: a line of JSON in, a line of JSON out.
package control

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

type order struct {
	Kind    string `json:"kind"`
	Collect bool   `json:"collect"`
}

type report struct {
	Kind     string `json:"kind"`
	Port     int    `json:"port,omitempty"`
	RssBytes int    `json:"rssBytes,omitempty"`
	CPUUs    int64  `json:"cpuUs,omitempty"`
	Acked    int64  `json:"acked"`
}

// Acked counts the ACKs that were read.
var Acked atomic.Int64

// Listen takes a port of the loopback and tells which.
func Listen() net.Listener {
	// Go probes every connection after 15 s in which it said nothing; of 18,000 at once so many
	// probes are lost that it ends some.
	config := net.ListenConfig{KeepAlive: -1}
	listener, err := config.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	return listener
}

// Run answers orders until the benchmark is gone.
func Run(listener net.Listener, change func()) {
	tell(report{Kind: "ready", Port: listener.Addr().(*net.TCPAddr).Port})
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var o order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			panic(err)
		}
		switch o.Kind {
		case "change":
			change()
			tell(report{Kind: "changed"})
		case "measure":
			if o.Collect {
				debug.FreeOSMemory()
			}
			tell(report{Kind: "measured", RssBytes: rss(), CPUUs: cpu(), Acked: Acked.Load()})
		}
	}
}

func tell(r report) {
	line, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(line))
}

func cpu() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return usage.Utime.Nano()/1e3 + usage.Stime.Nano()/1e3
}

func rss() int {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		panic(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(statm))[1])
	if err != nil {
		panic(err)
	}
	return pages * os.Getpagesize()
}
