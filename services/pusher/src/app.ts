/**
 * The pusher: what the log says of proxies' resources, brought to the proxies.
 *
 *     xds topic ─► view (cuts, scopes, blobs) ─► hub (fan-out) ─► streams (sessions) ─► gRPC
 *                                        feedback ◄─┘
 */
import { getHeapStatistics } from 'node:v8';
import { formatAddress, type Address } from '@watershed/runtime/address.ts';
import type { Timer } from '@watershed/runtime/clock.ts';
import type { Dependency } from '@watershed/runtime/dependency.ts';
import { pagesByPath, type DebugPage } from '@watershed/runtime/debug-pages.ts';
import type { Part } from '@watershed/runtime/lifecycle.ts';
import { Outage } from '@watershed/runtime/outage.ts';
import { version } from '@watershed/runtime/version.ts';
import { pagesOf } from './debug/pages.ts';
import { ColdStore } from './cold.ts';
import { FeedbackReader } from './feedback-reader.ts';
import { FeedbackWriter } from './feedback.ts';
import { Authenticator, type AuthenticatorOptions } from './identity/authenticator.ts';
import { Refusals } from './identity/refusals.ts';
import { ttlsOf } from './lifetimes.ts';
import { advertised, reached } from './placement/advertised.ts';
import { Placement } from './placement/placement.ts';
import { PusherMetrics } from './metrics.ts';
import { Admission } from './push/admission.ts';
import type { DebugQuery } from './push/debug-queries.ts';
import { Hub } from './push/hub.ts';
import type { PusherOptions } from './pusher-options.ts';
import { createMaterialise } from './secrets.ts';
import { createRpcServer } from './server/transports.ts';
import type { RpcServer, TlsSource } from './server/port.ts';
import { methodsOf } from './server/services.ts';
import { framed } from './server/unary.ts';
import { ServingState } from './serving.ts';
import { SessionContext } from './session/context.ts';
import { FrameCache } from './session/frame-cache.ts';
import { encodeControlPlane } from './session/frame.ts';
import { defaultLimits } from './session/session-options.ts';
import { randomKey } from './session/set-digest.ts';
import { Assignments } from './view/assignments.ts';
import { BlobLoader } from './view/blob-loader.ts';
import { Scopes } from './view/scopes.ts';
import { XdsView } from './view/xds-view.ts';

export interface Pusher extends Part {
  readonly start: () => Promise<void>;
  readonly stop: (signal: AbortSignal) => Promise<void>;
  /** `host:port` where it listens in plaintext; after the start. */
  readonly address: string;
  /** The same of the TLS listener; `undefined`: there is none. */
  readonly tlsAddress: string | undefined;
  readonly hub: Hub;
  readonly pages: readonly DebugPage[];
}

/**
 * Streams of one turn: cuts the time for which a large push holds the event loop. And node sends
 * what was written at the end of the turn, when a few streams are still in the processor's cache,
 * and many are not: 32 instead of 256 saved a sixth of a push's CPU.
 */
const defaultChunk = 32;
const defaultColdAfterMs = 2_000;

/** For a log that others keep; see `PusherOptions`. */
export const standInAfterMs = 15_000;

/** What node gives a process by the machine's memory, or its container's. */
const halfOfHeap = (): number => Math.floor(getHeapStatistics().heap_size_limit / 2);

const defaultIdentity: AuthenticatorOptions = {
  trustDomains: ['cluster.local'],
  policy: {
    gatewayAccounts: new Set(),
    nodeAccounts: new Set(),
    operatorNamespaces: new Set(['istio-system']),
  },
  plaintextNeedsToken: false,
};

/**
 * It listens as soon as it has started, and holds proxies until the log has been read to the end
 * that it had then (token `pusher`). Nor is it ready before the blob store has worked once, unless
 * it has on disk what it served last (`pusher-blobs`).
 */
export function createPusher(options: PusherOptions): Pusher {
  const part = new PusherPart(options);
  return {
    name: 'pusher',
    start: () => part.start(),
    stop: (signal) => part.stop(signal),
    get address() {
      return formatAddress(part.address);
    },
    get tlsAddress() {
      return part.tlsAddress === undefined ? undefined : formatAddress(part.tlsAddress);
    },
    hub: part.hub,
    pages: part.pages,
  };
}

class PusherPart {
  readonly hub: Hub;
  readonly pages: readonly DebugPage[];
  address: Address;
  tlsAddress: Address | undefined;
  readonly #options: PusherOptions;
  readonly #view: XdsView;
  readonly #loader: BlobLoader;
  readonly #feedback: FeedbackWriter;
  readonly #heard: FeedbackReader;
  readonly #placement: Placement;
  readonly #metrics: PusherMetrics;
  readonly #serving = new ServingState();
  readonly #cold: ColdStore | undefined;
  /** While the log is waited for. */
  #coldTimer: Timer | undefined;
  #standInTimer: Timer | undefined;
  /** It is ready though the log is not there; called when that is over. */
  #standsIn: (() => void) | undefined;
  readonly #servers: RpcServer[] = [];

  constructor(options: PusherOptions) {
    const { options: settings } = options;
    this.#options = options;
    this.address = settings.grpcAddr;
    this.tlsAddress = options.tls?.address;
    this.#metrics = new PusherMetrics(options.metrics);
    this.#feedback = new FeedbackWriter({ ...options, partitions: options.feedbackPartitions });
    this.#loader = this.#createLoader();
    this.#cold =
      options.coldDir === undefined
        ? undefined
        : new ColdStore({ ...options, dir: options.coldDir });
    const assignments = new Assignments();
    const scopes = new Scopes({
      loader: this.#loader,
      blobs: options.blobs,
      assignments,
      clock: options.time,
      timers: options.time,
      onView: (view, types, before) => this.hub.viewChanged(view, types, before),
      partialAfterMs: options.partialAfterMs,
    });
    this.#heard = new FeedbackReader({
      ...options,
      partitions: options.feedbackPartitions,
      onNack: (pusher, nack, told) => this.hub.heard(pusher, nack, told),
      onPusher: (name, pusher) => this.#placement.heard(name, pusher),
      onDemand: (...demand) => this.#placement.wanted(...demand),
    });
    this.#placement = this.#createPlacement();
    this.hub = new Hub({
      name: options.name,
      context: new SessionContext(this.#createFrames(), assignments),
      time: options.time,
      logger: options.logger,
      metrics: this.#metrics,
      tracing: options.tracing,
      feedback: this.#feedback,
      scopes,
      digestKey: options.digestKey ?? randomKey(),
      admission: this.#createAdmission(),
      answer: (query) => this.#answer(query),
      chunk: settings.pushThrottle === 0 ? defaultChunk : settings.pushThrottle,
      sendTimeoutMs: options.sendTimeoutMs ?? 300_000,
      limits: {
        maxNameBytes: settings.maxNameBytes ?? defaultLimits.maxNameBytes,
        maxIdentityBytes: settings.maxIdentityBytes || halfOfHeap(),
        ...options.sessionLimits,
      },
      maxScopesOfNamespace: options.maxScopesOfNamespace,
      ttlsMs: ttlsOf(settings.resourceTtls ?? []),
      onHeld: () => this.#view.hurry(),
      isOwner: (tenant) => this.#placement.isOwner(tenant),
      cold: this.#cold,
      coldAfterMs: options.coldAfterMs ?? defaultColdAfterMs,
    });
    this.#metrics.identityBytes(() => this.hub.names.most);
    this.#view = this.#createView(scopes);
    this.pages = pagesOf({
      ...{ placement: this.#placement, hub: this.hub, scopes, view: this.#view },
      silence: () => this.#log?.remark,
    });
  }

  get #log(): Dependency | undefined {
    return this.#options.readiness.dependencies.get('the log');
  }

  #createPlacement(): Placement {
    const { options } = this.#options;
    return new Placement({
      ...this.#options,
      address: () => advertised(options.advertisedAddr ?? reached(this.address, this.tlsAddress)),
      streams: () => this.hub.streams,
      scopes: () => this.hub.scopes,
      tell: (pusher) => this.#feedback.member(pusher),
      silent: () => this.#log?.reason !== undefined,
      rebalancePerSecond: options.rebalanceStreamsPerSecond ?? 0,
      rebalanceDelayMs: options.rebalanceDelayMs ?? 30_000,
      onMembers: (names) => {
        this.#metrics.pushers.set(names.size);
        this.hub.members(names);
      },
      onMoved: () => this.#metrics.streamsMoved.add(),
    });
  }

  async #answer(query: DebugQuery): Promise<Uint8Array> {
    // Codecs that are loaded when somebody asks, and not before.
    const { answerTo } = await import('./debug/queries.ts');
    const { time, name, otherPages = [] } = this.#options;
    const pages = pagesByPath([...this.pages, ...otherPages]);
    return framed(await answerTo(query, { streams: this.hub.streams, time, name, version, pages }));
  }

  #createAdmission(): Admission {
    const { time, options, admissionLimits } = this.#options;
    return new Admission({
      clock: time,
      timers: time,
      ratePerSecond: options.maxRequestsPerSecond,
      limits: admissionLimits,
      onAdmitted: (waitedMs) => this.#metrics.admissionSeconds.observe(waitedMs / 1_000),
      onWaiting: (count) => this.#metrics.streamsWaiting.set(count),
    });
  }

  #createLoader(): BlobLoader {
    const { blobs, time, logger, tracing } = this.#options;
    return new BlobLoader({
      blobs,
      tracing,
      timers: time,
      onMissing: (digests) => {
        this.#metrics.missingBlobs.add(digests.length);
        logger.warn('blobs are missing: their owners are asked', { digests });
        this.#feedback.missing(digests);
      },
      outage: new Outage({
        logger,
        away: 'blobs cannot be read now',
        back: 'blobs are read again',
      }),
    });
  }

  #createFrames(): FrameCache {
    const { sealing, logger, frameCacheBytes, time: clock } = this.#options;
    return new FrameCache({
      clock,
      controlPlane: encodeControlPlane('watershed'),
      materialise: createMaterialise(sealing, logger),
      maxBytes: frameCacheBytes,
      onEncoded: (frame) => {
        const series = this.#metrics.of(frame.plan.typeUrl);
        series.encodings.add();
        series.encodedBytes.add(frame.bytes.length);
      },
    });
  }

  #createView(scopes: Scopes): XdsView {
    const metrics = this.#metrics;
    return new XdsView({
      ...this.#options,
      ...this.#options.options,
      scopes,
      onSelectors: (changed) => this.hub.selectorsChanged(changed),
      observer: {
        records: (count) => metrics.recordsRead.add(count),
        heard: (atMs) => {
          metrics.logHeard.set(atMs / 1_000);
          this.#cold?.heard(atMs);
        },
        debounced: (heldMs) => metrics.debounce.observe(heldMs / 1_000),
        epoch: (partition, epoch) => metrics.epoch(partition).set(epoch),
        overdue: () => metrics.overdueCuts.add(),
      },
    });
  }

  async start(): Promise<void> {
    const { readiness, time, coldAfterMs = defaultColdAfterMs } = this.#options;
    const ready = readiness.expect('pusher');
    readiness.remark(() => this.#view.trouble);
    await this.#cold?.open();
    const hasBytes = this.#hasBytes();
    this.#view.start();
    this.#heard.start();
    this.#coldTimer = time.after(coldAfterMs, () => this.hub.readyCold());
    this.#standInTimer = this.#standInLater();
    void this.#view.whenReady().then(() => {
      this.#coldTimer?.cancel();
      this.#standInTimer?.cancel();
      this.hub.ready();
      void hasBytes.then(() => this.#serving.set(true));
      ready();
      this.#standsIn?.();
      this.#standsIn = undefined;
    });
    const { options, tls } = this.#options;
    try {
      this.address = await this.#listen(options.grpcAddr, undefined);
      if (tls !== undefined) this.tlsAddress = await this.#listen(tls.address, tls.source);
      this.#placement.start();
      const secure = this.tlsAddress;
      this.#options.logger.info('xDS is served', {
        grpc: formatAddress(this.address),
        ...(secure === undefined ? {} : { secure: formatAddress(secure) }),
      });
    } catch (error) {
      // Nobody stops what did not start, and the log is closed next.
      await this.stop(AbortSignal.abort());
      throw error;
    }
  }

  /** Resolves when there is something to serve from, be it of before. */
  #hasBytes(): Promise<void> {
    const { blobs, readiness } = this.#options;
    if (blobs.reached === undefined || this.#cold?.isEmpty === false) return Promise.resolve();
    return blobs.reached.then(readiness.expect('pusher-blobs'));
  }

  /** A log that stays away must not keep new proxies from what was kept for them. */
  #standInLater(): Timer | undefined {
    const { standInAfterMs, time, readiness, logger } = this.#options;
    if (standInAfterMs === undefined || this.#cold === undefined) return undefined;
    const { isEmpty, heardMs } = this.#cold;
    if (isEmpty) return undefined;
    if (heardMs !== undefined) {
      this.#metrics.logHeard.set(heardMs / 1_000);
      this.#log?.lastHeard(heardMs);
    }
    return time.after(standInAfterMs, () => {
      logger.warn('the log is not there: what was served last is served');
      this.#standsIn = readiness.standIn();
      this.hub.standIn();
      this.#serving.set(true);
    });
  }

  async stop(signal: AbortSignal): Promise<void> {
    this.#serving.stop();
    this.#placement.stop();
    this.#coldTimer?.cancel();
    this.#standInTimer?.cancel();
    this.#options.tls?.source.stop();
    const stopped = this.#servers.map((server) => server.stop(signal));
    await this.hub.drain(signal, this.#options.drainMs ?? 5_000);
    this.hub.stop();
    await this.#view.stop();
    await this.#heard.stop();
    this.#loader.close();
    await this.#feedback.stop();
    await this.#cold?.close();
    await Promise.all(stopped);
  }

  async #listen(address: Address, source: TlsSource | undefined): Promise<Address> {
    const { time, logger, serverLimits, transport, identity } = this.#options;
    const refusals = new Refusals({ clock: time, logger, metrics: this.#metrics });
    const methods = methodsOf({
      hub: this.hub,
      serving: this.#serving,
      authenticator: new Authenticator(identity ?? defaultIdentity),
      onRefused: (call, reason, message) => refusals.add(call, reason, message),
    });
    const common = { methods, limits: serverLimits, tls: source?.current, time, logger };
    const server =
      typeof transport === 'function'
        ? transport(common)
        : createRpcServer(transport ?? 'net', common);
    const port = await server.listen(address.host, address.port);
    this.#servers.push(server);
    source?.watch((now) => server.setTls(now));
    return { host: address.host, port };
  }
}
