import { Caller } from '@watershed/pusher/identity/caller.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import { DeltaDiscoveryRequest } from '@watershed/proto/envoy/service/discovery/v3/discovery.ts';
import { Admission } from '@watershed/pusher/push/admission.ts';
import { Alarms } from '@watershed/pusher/push/alarms.ts';
import type { Carrier } from '@watershed/pusher/push/carrier.ts';
import { SessionKinds } from '@watershed/pusher/push/session-kinds.ts';
import type { StreamHost } from '@watershed/pusher/push/stream-host.ts';
import { XdsStream } from '@watershed/pusher/push/stream.ts';
import { RequestDecoder } from '@watershed/pusher/session/request-codec.ts';
import { KeptNames } from '@watershed/pusher/session/kept-names.ts';
import { defaultLimits } from '@watershed/pusher/session/session-options.ts';
import { systemTime } from '@watershed/runtime/clock.ts';
import { namesTo, Scope } from './views.ts';

const nothing = (): void => undefined;
const taken = (): boolean => true;
const peer = {
  address: '127.0.0.1',
  port: 15_010,
  secure: false,
  identities: [],
  certificateProblem: '',
};

const policy = {
  gatewayAccounts: new Set<string>(),
  nodeAccounts: new Set<string>(),
  operatorNamespaces: new Set<string>(),
};

/** Bytes of heap of one whole stream (node, session, two subscribed types), its carrier apart. */
export function memory(count: number, streams: number): number {
  const names = namesTo(count);
  const scope = new Scope(names);
  const host = hostOf(scope);
  const clusters = { typeUrl: resourceTypes.cluster };
  const subscribe = { typeUrl: resourceTypes.endpoint, resourceNamesSubscribe: names };
  const second = Buffer.from(
    DeltaDiscoveryRequest.encode(DeltaDiscoveryRequest.fromPartial(subscribe)).finish(),
  );
  const open = (index: number): XdsStream => {
    const caller = new Caller({ trust: 'local', identities: [], policy, onDenied: nothing });
    const carrier: Carrier = { peer, caller, isReady: true, write: taken, end: nothing };
    const stream = new XdsStream(host, carrier, { mode: 'delta', id: index });
    const node = { id: `sidecar~10.0.0.1~p-${index}.shop~shop.svc.cluster.local` };
    stream.message(
      Buffer.from(
        DeltaDiscoveryRequest.encode(
          DeltaDiscoveryRequest.fromPartial({ node, ...clusters }),
        ).finish(),
      ),
    );
    stream.follow(scope.view.scope, scope.view);
    stream.message(second);
    for (const { traits, nonceSent } of stream.session?.types() ?? []) {
      const ack = { typeUrl: traits.typeUrl, responseNonce: nonceSent };
      stream.message(
        Buffer.from(DeltaDiscoveryRequest.encode(DeltaDiscoveryRequest.fromPartial(ack)).finish()),
      );
    }
    return stream;
  };
  // What is shared is there before it is measured.
  const held = [open(0)];
  const before = heap();
  for (let index = 1; index <= streams; index++) held.push(open(index));
  const perStreamBytes = (heap() - before) / streams;
  if (!held.every(({ session }) => session?.synced === true)) throw new Error('not synced');
  return perStreamBytes;
}

function heap(): number {
  if (globalThis.gc === undefined) throw new Error('needs --expose-gc');
  globalThis.gc();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function hostOf({ context }: Scope): StreamHost<XdsStream> {
  return {
    context,
    decoder: new RequestDecoder([1n, 2n]),
    time: systemTime,
    alarms: new Alarms(systemTime),
    limits: defaultLimits,
    names: new KeptNames(defaultLimits),
    kinds: new SessionKinds(),
    sendTimeoutMs: 300_000,
    admission: new Admission({
      clock: systemTime,
      timers: systemTime,
      ratePerSecond: 0,
      // All in one turn.
      limits: { sliceMs: Number.POSITIVE_INFINITY },
    }),
    answer: () => Promise.reject(new Error('nobody asks')),
    ttlsMs: new Map(),
    newest: () => undefined,
    asked: () => undefined,
    observer: {
      identified: nothing,
      sent: nothing,
      suppressed: nothing,
      acked: nothing,
      nacked: nothing,
      gateForced: nothing,
      resumed: nothing,
      stale: nothing,
      wrote: nothing,
      drained: nothing,
      converged: nothing,
      writeTimeout: nothing,
      request: nothing,
      refused: nothing,
    },
    identified: nothing,
    closed: nothing,
  };
}
