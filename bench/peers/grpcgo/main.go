// The least that a server on grpc-go can do for a fan-out: a codec that passes bytes through, one
// goroutine per stream that reads, and one buffer, encoded once per change, given to every stream.
package main

import (
	"flag"
	"strconv"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"watershed/bench/peers/control"
)

const typeURL = "type.googleapis.com/envoy.config.cluster.v3.Cluster"

type codec struct{}

func (codec) Name() string { return "proto" }

func (codec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*int) = data.Len()
	return nil
}

type server struct {
	size    int
	silent  bool
	mu      sync.Mutex
	change  int
	message []byte
	streams map[grpc.ServerStream]struct{}
}

// publish makes the next response and sends it to all.
func (s *server) publish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.change++
	s.message = response(s.change, s.size)
	for stream := range s.streams {
		// A stream that ends meanwhile is told so by its own goroutine.
		_ = stream.SendMsg(&s.message)
	}
}

func (s *server) join(stream grpc.ServerStream) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams[stream] = struct{}{}
	if s.silent {
		return nil
	}
	return stream.SendMsg(&s.message)
}

func (s *server) leave(stream grpc.ServerStream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.streams, stream)
}

func (s *server) serve(_ any, stream grpc.ServerStream) error {
	if err := stream.SendHeader(nil); err != nil {
		return err
	}
	var length int
	for first := true; ; first = false {
		if err := stream.RecvMsg(&length); err != nil {
			return nil
		}
		if !first {
			control.Acked.Add(1)
			continue
		}
		if err := s.join(stream); err != nil {
			return err
		}
		defer s.leave(stream)
	}
}

// response is a DeltaDiscoveryResponse with one resource of a size.
func response(change, size int) []byte {
	version := strconv.Itoa(change)
	var body []byte
	body = protowire.AppendTag(body, 1, protowire.BytesType)
	body = protowire.AppendString(body, typeURL)
	body = protowire.AppendTag(body, 2, protowire.BytesType)
	body = protowire.AppendBytes(body, make([]byte, size))
	var resource []byte
	resource = protowire.AppendTag(resource, 1, protowire.BytesType)
	resource = protowire.AppendString(resource, version)
	resource = protowire.AppendTag(resource, 2, protowire.BytesType)
	resource = protowire.AppendBytes(resource, body)
	resource = protowire.AppendTag(resource, 3, protowire.BytesType)
	resource = protowire.AppendString(resource, "cluster")
	var out []byte
	out = protowire.AppendTag(out, 1, protowire.BytesType)
	out = protowire.AppendString(out, version)
	out = protowire.AppendTag(out, 2, protowire.BytesType)
	out = protowire.AppendBytes(out, resource)
	out = protowire.AppendTag(out, 4, protowire.BytesType)
	out = protowire.AppendString(out, typeURL)
	out = protowire.AppendTag(out, 5, protowire.BytesType)
	return protowire.AppendString(out, version)
}

func main() {
	size := flag.Int("bytes", 10240, "of the one resource")
	silent := flag.Bool("silent", false, "streams are opened and told nothing")
	flag.Parse()
	s := &server{size: *size, silent: *silent, streams: map[grpc.ServerStream]struct{}{}}
	s.publish()
	listener := control.Listen()
	backend := grpc.NewServer(
		grpc.ForceServerCodecV2(codec{}),
		grpc.UnknownServiceHandler(s.serve),
	)
	go func() { _ = backend.Serve(listener) }()
	control.Run(listener, s.publish)
}
