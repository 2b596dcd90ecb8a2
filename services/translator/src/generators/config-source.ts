/** Where a client gets what a resource refers to. */
import {
  ApiConfigSource_ApiType as ApiType,
  ConfigSource,
} from '@watershed/proto/gen/envoy/config/core/v3/config_source.ts';

/**
 * '': by the stream that all types share (ADS). Else by a stream of its own for each reference,
 * state of the world or delta: Envoy has not implemented `self`, "as this resource came".
 */
export type Streams = '' | 'grpc' | 'delta-grpc';

/** The control plane's cluster in bootstraps: istio's name. */
const controlPlane = 'xds-grpc';

type Specifier = ConfigSource['configSourceSpecifier'];

export function specifierOf(streams: Streams): Specifier {
  if (streams === '') return { $case: 'ads', value: {} };
  const source = ConfigSource.fromPartial({
    configSourceSpecifier: {
      $case: 'apiConfigSource',
      value: {
        apiType: streams === 'grpc' ? ApiType.GRPC : ApiType.DELTA_GRPC,
        transportApiVersion: 2,
        // Else every ACK carries the whole node.
        setNodeOnFirstMessageOnly: true,
        grpcServices: [
          { targetSpecifier: { $case: 'envoyGrpc', value: { clusterName: controlPlane } } },
        ],
      },
    },
  });
  return source.configSourceSpecifier;
}

/** 0: wait for as long as it takes (istiod). */
export function configSource(streams: Streams): ConfigSource {
  return ConfigSource.fromPartial({
    configSourceSpecifier: specifierOf(streams),
    initialFetchTimeout: { seconds: 0, nanos: 0 },
    resourceApiVersion: 2,
  });
}
