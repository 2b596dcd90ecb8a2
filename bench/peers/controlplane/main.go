// go-control-plane as its documentation has it: a snapshot cache, and its server on grpc-go.
package main

import (
	"context"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"watershed/bench/peers/control"
)

// oneGroup gives all nodes the same snapshot.
type oneGroup struct{}

func (oneGroup) ID(*core.Node) string { return "all" }

type publisher struct {
	snapshots cache.SnapshotCache
	resources []types.Resource
	bytes     int
	change    int
}

// publish changes one cluster.
func (p *publisher) publish() {
	p.change++
	resources := append([]types.Resource(nil), p.resources...)
	resources[0] = p.cluster(0, p.change)
	p.resources = resources
	snapshot, err := cache.NewSnapshot(strconv.Itoa(p.change),
		map[resource.Type][]types.Resource{resource.ClusterType: resources})
	if err != nil {
		panic(err)
	}
	if err := p.snapshots.SetSnapshot(context.Background(), "all", snapshot); err != nil {
		panic(err)
	}
}

func (p *publisher) cluster(index, change int) *cluster.Cluster {
	text := fmt.Sprintf("change %d ", change)
	return &cluster.Cluster{
		Name:           fmt.Sprintf("cluster-%d", index),
		AltStatName:    strings.Repeat(text, 1+p.bytes/len(text))[:p.bytes],
		ConnectTimeout: durationpb.New(time.Second),
	}
}

func count(nonce string) error {
	if nonce != "" {
		control.Acked.Add(1)
	}
	return nil
}

func main() {
	clusters := flag.Int("clusters", 100, "of which one changes")
	bytes := flag.Int("bytes", 140, "of each cluster")
	flag.Parse()
	p := &publisher{snapshots: cache.NewSnapshotCache(true, oneGroup{}, nil), bytes: *bytes}
	for i := range *clusters {
		p.resources = append(p.resources, p.cluster(i, 0))
	}
	p.publish()
	listener := control.Listen()
	backend := grpc.NewServer()
	discovery.RegisterAggregatedDiscoveryServiceServer(backend,
		server.NewServer(context.Background(), p.snapshots, server.CallbackFuncs{
			StreamRequestFunc: func(_ int64, request *discovery.DiscoveryRequest) error {
				return count(request.ResponseNonce)
			},
			StreamDeltaRequestFunc: func(_ int64, request *discovery.DeltaDiscoveryRequest) error {
				return count(request.ResponseNonce)
			},
		}))
	go func() { _ = backend.Serve(listener) }()
	control.Run(listener, p.publish)
}
