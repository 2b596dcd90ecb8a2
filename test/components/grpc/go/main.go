// A workload of grpc-go without a proxy, moved by lines of JSON (see ../peer.ts).
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	xdscreds "google.golang.org/grpc/credentials/xds"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/xds"
)

type order struct {
	ID        int               `json:"id"`
	Op        string            `json:"op"`
	Target    string            `json:"target"`
	Method    string            `json:"method"`
	Count     int64             `json:"count"`
	Parallel  int               `json:"parallel"`
	TimeoutMs int64             `json:"timeoutMs"`
	Metadata  map[string]string `json:"metadata"`
	Address   string            `json:"address"`
	Name      string            `json:"name"`
}

type report struct {
	ID       int            `json:"id"`
	Codes    map[string]int `json:"codes"`
	Servers  map[string]int `json:"servers"`
	Messages []string       `json:"messages"`
	MaxMs    float64        `json:"maxMs"`
	Error    string         `json:"error,omitempty"`
}

// Messages go as they are: nothing here has a schema.
type raw struct{}

func (raw) Marshal(v any) ([]byte, error)      { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v any) error { *v.(*[]byte) = append([]byte{}, data...); return nil }
func (raw) Name() string                       { return "raw" }

var (
	out      sync.Mutex
	lock     sync.Mutex
	channels = map[string]*grpc.ClientConn{}
	stopping atomic.Bool
)

func say(r report) {
	out.Lock()
	defer out.Unlock()
	text, _ := json.Marshal(r)
	fmt.Println(string(text))
}

func channel(target string) (*grpc.ClientConn, error) {
	lock.Lock()
	defer lock.Unlock()
	if known := channels[target]; known != nil {
		return known, nil
	}
	creds, err := xdscreds.NewClientCredentials(xdscreds.ClientOptions{FallbackCreds: insecure.NewCredentials()})
	if err != nil {
		return nil, err
	}
	made, err := grpc.NewClient(target, grpc.WithTransportCredentials(creds),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})))
	if err == nil {
		channels[target] = made
	}
	return made, err
}

func call(conn *grpc.ClientConn, o order) (server string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(o.TimeoutMs)*time.Millisecond)
	defer cancel()
	ctx = metadata.NewOutgoingContext(ctx, metadata.New(o.Metadata))
	var header metadata.MD
	in, reply := []byte{}, []byte{}
	err = conn.Invoke(ctx, o.Method, &in, &reply, grpc.Header(&header))
	if values := header.Get("x-backend"); len(values) > 0 {
		server = values[0]
	}
	return server, err
}

func calls(o order) {
	r := report{ID: o.ID, Codes: map[string]int{}, Servers: map[string]int{}, Messages: []string{}}
	conn, err := channel(o.Target)
	if err != nil {
		r.Error = err.Error()
		say(r)
		return
	}
	var group sync.WaitGroup
	var mutex sync.Mutex
	var begun atomic.Int64
	for range o.Parallel {
		group.Go(func() {
			for begun.Add(1) <= o.Count && !stopping.Load() {
				since := time.Now()
				server, err := call(conn, o)
				took := float64(time.Since(since).Microseconds()) / 1000
				mutex.Lock()
				r.Codes[fmt.Sprint(int(status.Code(err)))]++
				r.MaxMs = max(r.MaxMs, took)
				if err == nil {
					r.Servers[server]++
				} else if len(r.Messages) < 5 {
					r.Messages = append(r.Messages, err.Error())
				}
				mutex.Unlock()
			}
		})
	}
	group.Wait()
	say(r)
}

func serve(o order) {
	creds, err := xdscreds.NewServerCredentials(xdscreds.ServerOptions{FallbackCreds: insecure.NewCredentials()})
	if err != nil {
		say(report{ID: o.ID, Error: err.Error()})
		return
	}
	server, err := xds.NewGRPCServer(grpc.Creds(creds), grpc.ForceServerCodec(raw{}),
		grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
			body := []byte{}
			if err := stream.RecvMsg(&body); err != nil {
				return err
			}
			if err := stream.SendHeader(metadata.Pairs("x-backend", o.Name)); err != nil {
				return err
			}
			return stream.SendMsg(&body)
		}))
	if err != nil {
		say(report{ID: o.ID, Error: err.Error()})
		return
	}
	listener, err := net.Listen("tcp", o.Address)
	if err != nil {
		say(report{ID: o.ID, Error: err.Error()})
		return
	}
	say(report{ID: o.ID})
	if err := server.Serve(listener); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var o order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			panic(err)
		}
		switch o.Op {
		case "calls":
			go calls(o)
		case "serve":
			go serve(o)
		case "stop":
			stopping.Store(true)
		case "go":
			stopping.Store(false)
		}
	}
}
