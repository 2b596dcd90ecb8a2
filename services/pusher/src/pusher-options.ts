/** What a pusher is made of; `app.ts` makes it. */
import type { BlobStore } from '@watershed/blob/port.ts';
import type { Log } from '@watershed/log/port.ts';
import type { Address } from '@watershed/runtime/address.ts';
import type { Time } from '@watershed/runtime/clock.ts';
import type { DebugPage } from '@watershed/runtime/debug-pages.ts';
import type { Logger } from '@watershed/runtime/logger.ts';
import type { Metrics } from '@watershed/runtime/metrics.ts';
import type { Readiness } from '@watershed/runtime/readiness.ts';
import type { Sealing } from '@watershed/runtime/sealing.ts';
import type { Tracing } from '@watershed/runtime/tracing.ts';
import type { AuthenticatorOptions } from './identity/authenticator.ts';
import type { AdmissionLimits } from './push/admission.ts';
import type { RpcServer, RpcServerOptions, ServerLimits, TlsSource } from './server/port.ts';
import type { Transport } from './server/transports.ts';
import type { SessionLimits } from './session/session-options.ts';
import type { DigestKey } from './session/set-digest.ts';

/** What users set; the rows of `xdsOptions`. */
export interface PusherSettings {
  readonly grpcAddr: Address;
  readonly debounceAfterMs: number;
  readonly debounceMaxMs: number;
  readonly edsDebounce: boolean;
  /** 0: chosen here. */
  readonly pushThrottle: number;
  /** New streams a second; 0: by what they cost. */
  readonly maxRequestsPerSecond: number;
  /** See `SessionLimits`. */
  readonly maxNameBytes?: number;
  /** 0: half of the heap. */
  readonly maxIdentityBytes?: number;
  /** `eds=5m`: after which clients drop what they do not hear of. Default none. */
  readonly resourceTtls?: readonly string[];
  /** Where proxies reach it. Default: where it listens, by the machine's name. */
  readonly advertisedAddr?: Address | undefined;
  /** Of streams that had better be elsewhere. Default 0: none is moved. */
  readonly rebalanceStreamsPerSecond?: number;
  /** How long pushers must have been the same before. Default 30 s. */
  readonly rebalanceDelayMs?: number;
}

export interface PusherOptions {
  readonly log: Log;
  readonly blobs: BlobStore;
  /** Of the topic `xds`. */
  readonly partitions: number;
  /** Of the topic `feedback`. Default 1. */
  readonly feedbackPartitions?: number;
  /** Unique among pushers. */
  readonly name: string;
  readonly options: PusherSettings;
  readonly time: Time;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly tracing: Tracing;
  readonly readiness: Readiness;
  /** Opens secrets; without it none are sent. */
  readonly sealing?: Sealing;
  /** Where the last views are kept for a start without log or blobs; absent: nowhere. */
  readonly coldDir?: string;
  /** How long a proxy waits for the log, or for its scope, before it gets those. Default 2 s. */
  readonly coldAfterMs?: number;
  /** A second listener, with TLS. */
  readonly tls?: { readonly address: Address; readonly source: TlsSource };
  /** Who clients may be. Default: what certificates of trust domain `cluster.local` say. */
  readonly identity?: AuthenticatorOptions;
  /** Of the process's other parts: istioctl may ask for them over xDS. */
  readonly otherPages?: readonly DebugPage[];
  /** Default `http2`. A function: what else serves RPCs, such as a simulated network. */
  readonly transport?: Transport | ((options: RpcServerOptions) => RpcServer);
  readonly serverLimits?: Partial<ServerLimits>;
  readonly sessionLimits?: Partial<SessionLimits>;
  readonly admissionLimits?: Partial<AdmissionLimits>;
  /** See `HubOptions`. */
  readonly maxScopesOfNamespace?: number;
  /** A client that takes nothing for so long is cut off; 0: never. Default 5 minutes. */
  readonly sendTimeoutMs?: number;
  /** Secret: what equal lists of clients are found by. Default: a random one. */
  readonly digestKey?: DigestKey;
  /** Of encoded responses that are kept for streams still to come. Default 32 MiB. */
  readonly frameCacheBytes?: number;
  /**
   * A log that is not there so long after the start does not keep new proxies from what was served
   * last. Default: it does.
   */
  readonly standInAfterMs?: number;
  /** How long configuration waits for a partition's watermark. Default 10 s. */
  readonly cutWaitMs?: number;
  /** How long a scope waits for what it lists, before what is there is served. Default 5 s. */
  readonly partialAfterMs?: number;
  /** Within which streams are ended when the process stops. Default 5 s. */
  readonly drainMs?: number;
}
