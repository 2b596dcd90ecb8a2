import { Cluster } from '@watershed/proto/envoy/config/cluster/v3/cluster.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import {
  DeltaDiscoveryResponse,
  DiscoveryResponse,
} from '@watershed/proto/envoy/service/discovery/v3/discovery.ts';
import { SessionContext, emptyView } from '../../src/session/context.ts';
import { FrameCache } from '../../src/session/frame-cache.ts';
import { encodeControlPlane, prefixBytes, type Frame } from '../../src/session/frame.ts';
import { InitialVersions, type DeltaRequest, type SotwRequest } from '../../src/session/request.ts';
import type {
  SessionNack,
  SessionObserver,
  SessionOptions,
} from '../../src/session/session-options.ts';
import { Session } from '../../src/session/session.ts';
import { NameList } from '../../src/session/subscription.ts';
import { type Missing } from '../../src/view/missing.ts';
import type { ScopeView } from '../../src/view/scope-view.ts';
import { hashName } from '../../src/view/trie.ts';
import type { Entry, TypeView } from '../../src/view/type-view.ts';

const types = resourceTypes;
export const { cluster: CDS, endpoint: EDS, listener: LDS, route: RDS, secret: SDS } = types;

/** Resources by type and name; a cluster's assignment has the cluster's own name. */
export type Content = Readonly<Record<string, Readonly<Record<string, string>>>>;

function entry(typeUrl: string, name: string, version: string): Entry {
  return {
    typeUrl,
    name,
    hash: hashName(name),
    version,
    // Any message will do; a name makes decoded responses readable.
    fragments: [Cluster.encode(Cluster.fromPartial({ name })).finish()],
    size: name.length + 2,
    refs: typeUrl === CDS ? [name] : [],
    isEmpty: typeUrl === EDS && version === 'empty',
  };
}

/** A process without sockets: views, shared context and counted encodings. */
export class World {
  readonly context: SessionContext;
  encoded: Frame[] = [];
  nowMs = 0;
  #sequence = 0;
  readonly #types = new Map<string, TypeView>();
  view: ScopeView | undefined;

  constructor() {
    this.context = new SessionContext(
      new FrameCache({
        clock: { now: () => this.nowMs, monotonic: () => this.nowMs },
        controlPlane: encodeControlPlane('watershed'),
        materialise: (e) => e.fragments,
        onEncoded: (frame) => this.encoded.push(frame),
      }),
    );
  }

  /**
   * The next view: exactly `content`. Unchanged entries stay the same objects, as in a real view.
   * `missing`: what of it is not here.
   */
  cut(content: Content, missing?: Missing): ScopeView {
    const typeUrls = new Set([...this.#types.keys(), ...Object.keys(content)]);
    for (const typeUrl of typeUrls) {
      const before = this.#types.get(typeUrl) ?? emptyView(typeUrl);
      const wanted = content[typeUrl] ?? {};
      const set = Object.entries(wanted)
        .filter(([name, version]) => before.get(name)?.version !== version)
        .map(([name, version]) => entry(typeUrl, name, version));
      const gone: string[] = [];
      before.each((e) => {
        if (!Object.hasOwn(wanted, e.name)) gone.push(e.name);
      });
      this.#types.set(typeUrl, before.with(set, gone));
    }
    this.view = {
      scope: 's',
      sequence: ++this.#sequence,
      epoch: this.#sequence,
      types: new Map(this.#types),
      missing,
      sinceMs: 0,
      trace: undefined,
    };
    this.context.past.note(this.view);
    return this.view;
  }

  sotw(options: Partial<SessionOptions> = {}, keeps?: Keeps): SotwStream {
    return new SotwStream(this, options, keeps);
  }

  delta(options: Partial<SessionOptions> = {}, keeps?: Keeps): DeltaStream {
    return new DeltaStream(this, options, keeps);
  }
}

/** As views say it. */
export function missing(...all: readonly (readonly [typeUrl: string, name: string])[]): Missing {
  const names = Map.groupBy(all, ([typeUrl]) => typeUrl);
  const sets = [...names].map(
    ([typeUrl, some]) => [typeUrl, new Set(some.map(([, name]) => name))] as const,
  );
  return { all: false, names: new Map(sets) };
}

export interface SotwSeen {
  readonly type: string;
  readonly names: readonly string[];
  readonly version: string;
  readonly nonce: string;
  readonly frame: Frame;
}

export interface DeltaSeen {
  readonly type: string;
  readonly names: readonly string[];
  readonly removed: readonly string[];
  readonly versions: Readonly<Record<string, string>>;
  readonly nonce: string;
  readonly frame: Frame;
}

type Keeps = NonNullable<SessionObserver['keeps']>;

abstract class Stream<Seen> {
  readonly world: World;
  readonly session: Session;
  readonly nacks: SessionNack[] = [];
  readonly forced: string[] = [];
  suppressed = 0;
  /** What a type may begin with, in bytes. */
  room = Number.POSITIVE_INFINITY;

  constructor(
    world: World,
    mode: 'sotw' | 'delta',
    options: Partial<SessionOptions>,
    keeps: Keeps = () => undefined,
  ) {
    this.world = world;
    const all = { mayHaveSecrets: true, ...options, mode };
    this.session = new Session(world.context, all, {
      nacked: (nack) => this.nacks.push(nack),
      gateForced: (stage) => this.forced.push(stage),
      suppressed: () => this.suppressed++,
      newest: () => this.world.view,
      mayBegin: (exceeds) => !exceeds(this.room),
      keeps,
    });
    this.follow();
  }

  /** Gives the stream the world's view. */
  follow(): this {
    if (this.world.view !== undefined) this.session.setGoal(this.world.view);
    return this;
  }

  /** All that the stream is sent now. */
  take(): Seen[] {
    const seen: Seen[] = [];
    for (let i = 0; i < 100; i++) {
      const frame = this.session.next(this.world.nowMs);
      if (frame === undefined) {
        this.session.park();
        return seen;
      }
      seen.push(this.decode(frame));
    }
    throw new Error('the session never comes to rest');
  }

  /** The next of it, as where no more can be written now. */
  takeOne(): Seen | undefined {
    const frame = this.session.next(this.world.nowMs);
    return frame === undefined ? undefined : this.decode(frame);
  }

  protected abstract decode(frame: Frame): Seen;
}

/** Checks the gRPC prefix. */
function messageOf(frame: Frame): Uint8Array {
  const message = frame.bytes.subarray(prefixBytes);
  if (frame.bytes[0] !== 0 || frame.bytes.readUInt32BE(1) !== message.length) {
    throw new Error('wrong prefix');
  }
  return message;
}

const nameOf = (any: { value: Uint8Array }): string => Cluster.decode(any.value).name;

export class SotwStream extends Stream<SotwSeen> {
  constructor(world: World, options: Partial<SessionOptions>, keeps?: Keeps) {
    super(world, 'sotw', options, keeps);
  }

  send(typeUrl: string, names: readonly string[], more: Partial<SotwRequest> = {}): SotwSeen[] {
    const request: SotwRequest = {
      mode: 'sotw',
      typeUrl,
      versionInfo: '',
      names: new NameList(names),
      nonce: '',
      error: undefined,
      node: undefined,
      ...more,
    };
    const violation = this.session.request(request, this.world.nowMs);
    if (violation !== undefined) throw new Error(`${violation.code}: ${violation.message}`);
    return this.take();
  }

  ack(seen: SotwSeen | undefined, names: readonly string[] = []): SotwSeen[] {
    if (seen === undefined) throw new Error('nothing to ACK');
    return this.send(seen.type, names, { nonce: seen.nonce, versionInfo: seen.version });
  }

  nack(seen: SotwSeen | undefined, names: readonly string[] = [], message = 'no'): SotwSeen[] {
    if (seen === undefined) throw new Error('nothing to NACK');
    return this.send(seen.type, names, { nonce: seen.nonce, error: { code: 13, message } });
  }

  protected decode(frame: Frame): SotwSeen {
    const response = DiscoveryResponse.decode(messageOf(frame));
    if (response.resources.some((any) => any.typeUrl !== response.typeUrl)) {
      throw new Error('an Any of another type');
    }
    const names = response.resources.map(nameOf);
    const { typeUrl: type, versionInfo: version, nonce } = response;
    return { type, names, version, nonce, frame };
  }
}

export class DeltaStream extends Stream<DeltaSeen> {
  constructor(world: World, options: Partial<SessionOptions>, keeps?: Keeps) {
    super(world, 'delta', options, keeps);
  }

  send(
    typeUrl: string,
    more: {
      readonly sub?: readonly string[];
      readonly unsub?: readonly string[];
      readonly initial?: Readonly<Record<string, string>>;
      readonly nonce?: string;
      readonly error?: { code: number; message: string };
    } = {},
  ): DeltaSeen[] {
    const request: DeltaRequest = {
      mode: 'delta',
      typeUrl,
      subscribe: new NameList(more.sub ?? []),
      unsubscribe: new NameList(more.unsub ?? []),
      initial: more.initial === undefined ? undefined : initialOf(typeUrl, more.initial),
      nonce: more.nonce ?? '',
      error: more.error,
      node: undefined,
    };
    const violation = this.session.request(request, this.world.nowMs);
    if (violation !== undefined) throw new Error(`${violation.code}: ${violation.message}`);
    return this.take();
  }

  ack(seen: DeltaSeen | undefined): DeltaSeen[] {
    if (seen === undefined) throw new Error('nothing to ACK');
    return this.send(seen.type, { nonce: seen.nonce });
  }

  nack(seen: DeltaSeen | undefined, message = 'no'): DeltaSeen[] {
    if (seen === undefined) throw new Error('nothing to NACK');
    return this.send(seen.type, { nonce: seen.nonce, error: { code: 13, message } });
  }

  protected decode(frame: Frame): DeltaSeen {
    const response = DeltaDiscoveryResponse.decode(messageOf(frame));
    const found: [string, string][] = [];
    for (const one of response.resources) {
      const { resource, name, version } = one;
      if (resource?.typeUrl !== response.typeUrl || nameOf(resource) !== name) {
        throw new Error('an Any of another type or name');
      }
      found.push([name, version]);
    }
    // Also a name as `__proto__` is one.
    const versions = Object.fromEntries(found);
    const { typeUrl: type, removedResources: removed, nonce } = response;
    return { type, names: Object.keys(versions), removed, versions, nonce, frame };
  }
}

export function initialOf(
  typeUrl: string,
  versions: Readonly<Record<string, string>>,
): InitialVersions {
  return new InitialVersions(
    Object.entries(versions).map(([name, version]) => ({
      typeUrl,
      name,
      hash: hashName(name),
      version,
      fragments: undefined,
      size: 0,
      refs: [],
    })),
  );
}
