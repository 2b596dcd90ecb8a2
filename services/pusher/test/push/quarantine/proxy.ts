import { Cluster } from '@watershed/proto/envoy/config/cluster/v3/cluster.ts';
import {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
  DiscoveryRequest,
  DiscoveryResponse,
} from '@watershed/proto/envoy/service/discovery/v3/discovery.ts';
import type { VirtualTime } from '@watershed/runtime/virtual-time.ts';
import type { ClientCall, SimNetwork } from '../../../../../test/sim/network.ts';
import { CDS } from '../../session/support.ts';

export interface Traits {
  readonly namespace: 'shop' | 'bank';
  readonly version: '1.36.0' | '1.40.0';
  /** It shows a certificate; else it only says who it is. */
  readonly verified: boolean;
  readonly mode: 'delta' | 'sotw';
  /** Its NACKs tell what is bad. */
  readonly names: boolean;
}

export interface ProxyOptions {
  readonly id: string;
  readonly traits: Traits;
  readonly time: VirtualTime;
  readonly network: SimNetwork;
  /** Where it goes when its stream ends. */
  readonly elsewhere: () => string;
  /** At the moment when a pusher says it. */
  readonly onSent: (proxy: Proxy, name: string, version: string) => void;
  /** These it refuses, of a response that had so many. */
  readonly onRefused: (proxy: Proxy, versions: ReadonlyMap<string, string>) => void;
}

interface Response {
  readonly nonce: string;
  /** State of the world. */
  readonly version: string;
  readonly resources: readonly { readonly name: string; readonly version: string; wire: string }[];
  readonly removed: readonly string[];
}

const service = '/envoy.service.discovery.v3.AggregatedDiscoveryService';

/**
 * Asks for all clusters, and refuses those that are bad, if it does. It drops all of such a
 * response.
 */
export class Proxy {
  readonly options: ProxyOptions;
  /** Of clusters, by name. */
  readonly held = new Map<string, string>();
  refuses = true;
  /** Its pusher; empty: it is away. */
  at = '';
  /** By this stream, or said to be held when it began: `name|version`. */
  readonly sent = new Set<string>();
  /** On this stream, and not taken later: `name|version`. */
  readonly refused = new Set<string>();
  /** State of the world: its pusher may not know what it has, as it came with a version of all. */
  isResumed = false;
  /** Responses that it was sent. */
  received = 0;
  readonly #wire = new Map<string, string>();
  #versionInfo = '';
  #call: ClientCall | undefined;
  #waiting: Response[] | undefined;

  constructor(options: ProxyOptions) {
    this.options = options;
  }

  connect(pusher: string): void {
    this.leave();
    const { network, time, traits, elsewhere, onSent } = this.options;
    const { mode, verified, namespace } = traits;
    this.at = pusher;
    this.isResumed = this.#versionInfo !== '';
    for (const [name, version] of this.held) this.sent.add(`${name}|${version}`);
    const path = `${service}/${mode === 'delta' ? 'Delta' : 'Stream'}AggregatedResources`;
    const peer = {
      address: '127.0.0.1',
      port: 1,
      secure: verified,
      identities: verified ? [`spiffe://cluster.local/ns/${namespace}/sa/web`] : [],
      certificateProblem: '',
    };
    const call = network.call(
      pusher,
      path,
      {
        written: (bytes) => {
          if (this.#call !== call) return;
          for (const { name, version } of this.#decode(bytes).resources) {
            onSent(this, name, version);
            this.sent.add(`${name}|${version}`);
          }
        },
        message: (bytes) => {
          if (this.#call !== call) return;
          const response = this.#decode(bytes);
          this.received++;
          if (this.#waiting === undefined) this.#take(response);
          else this.#waiting.push(response);
        },
        closed: () => {
          if (this.#call !== call) return;
          this.leave();
          time.after(100, () => {
            if (this.#call === undefined) this.connect(elsewhere());
          });
        },
      },
      peer,
    );
    this.#call = call;
    this.#ask();
  }

  /** The stream breaks. */
  leave(): void {
    const call = this.#call;
    this.#call = undefined;
    this.at = '';
    this.sent.clear();
    this.refused.clear();
    if (this.#waiting !== undefined) this.#waiting = [];
    call?.cut();
  }

  /** It answers nothing until `answer`. */
  hold(): void {
    this.#waiting ??= [];
  }

  answer(): void {
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    for (const response of waiting) this.#take(response);
  }

  #decode(bytes: Uint8Array): Response {
    const { mode } = this.options.traits;
    const of = (value: Uint8Array, wire: string): Response['resources'][number] => {
      const { name, altStatName: version } = Cluster.decode(value);
      return { name, version, wire };
    };
    if (mode === 'delta') {
      const { nonce, resources, removedResources } = DeltaDiscoveryResponse.decode(bytes);
      const given = resources.map((one) =>
        of(one.resource?.value ?? new Uint8Array(), one.version),
      );
      return { nonce, version: '', resources: given, removed: removedResources };
    }
    const { nonce, versionInfo, resources } = DiscoveryResponse.decode(bytes);
    const given = resources.map(({ value }) => of(value, ''));
    return { nonce, version: versionInfo, resources: given, removed: [] };
  }

  #take({ nonce, version: versionInfo, resources, removed }: Response): void {
    const { traits, onRefused } = this.options;
    const bad = resources.filter(
      ({ name, version }) =>
        this.refuses && version.startsWith('bad') && this.held.get(name) !== version,
    );
    const goodOnes = resources.filter((one) => !bad.includes(one));
    const given = new Set(resources.map(({ name }) => name));
    const gone =
      traits.mode === 'delta' ? removed : [...this.held.keys()].filter((name) => !given.has(name));
    for (const name of gone) this.held.delete(name);
    for (const { name, version, wire } of goodOnes) {
      this.held.set(name, version);
      this.refused.delete(`${name}|${version}`);
      this.#wire.set(name, wire);
    }
    if (bad.length === 0) {
      this.#versionInfo = versionInfo;
      this.#ask(nonce);
      return;
    }
    for (const { name, version } of bad) this.refused.add(`${name}|${version}`);
    onRefused(this, new Map(bad.map(({ name, version }) => [name, version])));
    const what = bad.map(({ name }) => `${name}: no`).join(', ');
    this.#ask(nonce, traits.names ? `Error adding/updating cluster(s) ${what}` : 'no');
  }

  /** The first request, an ACK, or a NACK. */
  #ask(nonce = '', problem?: string): void {
    const { id, traits } = this.options;
    const errorDetail =
      problem === undefined ? undefined : { code: 13, message: problem, details: [] };
    const node = {
      id: `sidecar~10.0.0.1~${id}.${traits.namespace}~${traits.namespace}.svc.cluster.local`,
      userAgentVersionType: { $case: 'userAgentVersion', value: traits.version } as const,
      metadata: {},
    };
    const common = { typeUrl: CDS, responseNonce: nonce, ...(nonce === '' ? { node } : {}) };
    const error = errorDetail === undefined ? {} : { errorDetail };
    if (traits.mode === 'sotw') {
      const request = { ...common, ...error, versionInfo: this.#versionInfo };
      this.#send(DiscoveryRequest.encode(DiscoveryRequest.fromPartial(request)).finish());
      return;
    }
    const initial = [...this.held.keys()].map((name) => [name, this.#wire.get(name) ?? '']);
    const initialResourceVersions: Record<string, string> =
      nonce === '' ? Object.fromEntries(initial) : {};
    const request = { ...common, ...error, initialResourceVersions };
    this.#send(DeltaDiscoveryRequest.encode(DeltaDiscoveryRequest.fromPartial(request)).finish());
  }

  #send(bytes: Uint8Array): void {
    this.#call?.send(bytes);
  }
}
