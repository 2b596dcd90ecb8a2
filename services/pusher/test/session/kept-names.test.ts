import { describe, expect, it } from 'vitest';
import {
  bytesPerStream,
  KeptNames,
  noCost,
  type Cost,
  type KeptLimits,
} from '../../src/session/kept-names.ts';
import { defaultLimits } from '../../src/session/session-options.ts';
import { CDS, EDS, World, type DeltaStream, type SotwStream } from './support.ts';

const MiB = 1024 * 1024;
const refusal = `resource-exhausted: more than ${MiB} bytes of names on one connection`;

/** `count` names of `length` characters. */
function some(count: number, length: number, prefix = 'n'): string[] {
  return Array.from({ length: count }, (_, i) => `${prefix}${i}-`.padEnd(length, 'x'));
}

function versions(names: readonly string[], version = 'v'): Record<string, string> {
  return Object.fromEntries(names.map((name) => [name, version]));
}

/** Streams of connections, as a pusher has them. */
class Connections {
  readonly world = new World();
  readonly names: KeptNames;
  readonly #limits: typeof defaultLimits;

  constructor(limits: Partial<KeptLimits> = { maxNameBytes: MiB }) {
    this.#limits = { ...defaultLimits, ...limits };
    this.names = new KeptNames(this.#limits);
  }

  delta(
    port = 1,
    identity = 'shop/web',
  ): { readonly stream: DeltaStream; readonly close: () => void } {
    const { keeps, close } = this.#share(port, identity);
    return { stream: this.world.delta({ limits: this.#limits }, keeps), close };
  }

  sotw(port = 1): SotwStream {
    return this.world.sotw({ limits: this.#limits }, this.#share(port, 'shop/web').keeps);
  }

  #share(port: number, identity: string) {
    const client = { address: '10.0.0.1', port, identity };
    const excess = this.names.open(client);
    if (excess !== undefined) throw new Error(excess);
    let before = noCost;
    const keeps = (kept: readonly Cost[]): string | undefined => {
      const all = before;
      before = kept;
      return this.names.change(client, all, kept);
    };
    const close = (): void => {
      keeps(noCost);
      this.names.close(client);
    };
    return { keeps, close };
  }
}

describe('what names of a connection take', () => {
  it('is bounded for all its streams together', () => {
    const connections = new Connections();
    connections.delta().stream.send(EDS, { sub: some(400, 1_000, 'a') });
    expect(() =>
      connections.delta().stream.send(EDS, { sub: some(400, 1_000, 'b') }),
    ).not.toThrow();
    expect(() => connections.delta().stream.send(EDS, { sub: some(300, 1_000, 'c') })).toThrow(
      refusal,
    );
    connections.delta(2).stream.send(EDS, { sub: some(400, 1_000, 'd') });
  });

  it('counts once what several of its streams have: they may be of a gateway of many proxies', () => {
    const connections = new Connections();
    const names = some(700, 1_000);
    for (let i = 0; i < 100; i++) {
      connections.sotw().send(EDS, i % 2 === 0 ? names : names.toReversed());
    }
    expect(() => connections.sotw().send(EDS, some(300, 1_000, 'a'))).toThrow(refusal);
  });

  it('counts each name with what it takes beside its characters', () => {
    const connections = new Connections();
    expect(() => connections.delta().stream.send(EDS, { sub: some(6_000, 6) })).toThrow(refusal);
  });

  it('counts what a client says that it has', () => {
    const connections = new Connections();
    const initial = versions(some(550, 1_000), 'v'.repeat(1_000));
    expect(() => connections.delta().stream.send(CDS, { initial })).toThrow(refusal);
  });

  it('counts names that were dropped and not answered yet', () => {
    const { stream } = new Connections().delta();
    const name = (prefix: string): unknown => {
      const names = some(250, 1_000, prefix);
      return stream.send(EDS, { sub: names, unsub: names });
    };
    for (const prefix of ['a', 'b', 'c']) name(prefix);
    expect(() => name('d')).toThrow(refusal);
  });

  it('is room again for what was dropped and answered, and for what streams that are over had', () => {
    const connections = new Connections();
    connections.world.cut({ [EDS]: { a: '1' } });
    const { stream, close } = connections.delta();
    for (let round = 0; round < 5; round++) {
      const names = some(800, 1_000, `${round}-`);
      const [seen] = stream.send(EDS, { sub: names });
      stream.ack(seen);
      stream.send(EDS, { unsub: names });
    }
    expect(connections.names.connections).toBe(0);
    stream.send(EDS, { sub: some(800, 1_000, 'a') });
    expect(connections.names.connections).toBe(1);
    close();
    expect(connections.names.connections).toBe(0);
    connections.delta().stream.send(EDS, { sub: some(800, 1_000, 'b') });
  });

  it('is not counted of a stream that names little', () => {
    const connections = new Connections();
    for (let i = 0; i < 100; i++) connections.delta().stream.send(EDS, { sub: some(50, 100) });
    expect(connections.names.connections).toBe(0);
  });

  it('may by default be what the largest real clients have', () => {
    const connections = new Connections({});
    const digest = 'd'.repeat(64);
    const clusters = some(20_000, 100, 'outbound|80||');
    const { stream } = connections.delta();
    stream.send(CDS, { initial: versions(clusters, digest) });
    stream.send(EDS, { sub: clusters, initial: versions(clusters, digest) });
    // Beside it, by way of a proxy of connections, one of ztunnel's size.
    const workloads = versions(some(50_000, 100), digest);
    connections.delta().stream.send('istio.workload.Address', { sub: ['*'], initial: workloads });
  });
});

describe('what streams and names of an identity take', () => {
  const refused = `more than ${MiB} bytes of streams and names of shop/web`;

  it('is bounded over all its connections, and not for others', () => {
    const clients = new Connections({ maxIdentityBytes: MiB });
    const all = [1, 2, 3].map((port) => clients.delta(port));
    const ask = (i: number, prefix: string): unknown =>
      all[i]?.stream.send(EDS, { sub: some(400, 1_000, prefix) });
    ask(0, 'a');
    ask(1, 'b');
    expect(() => ask(2, 'c')).toThrow(`resource-exhausted: ${refused}`);
    clients.delta(4, 'shop/cart').stream.send(EDS, { sub: some(400, 1_000, 'd') });
    // Of what is over nothing is left.
    for (const { close } of all) close();
    expect(clients.names.most).toBeLessThan(MiB / 2);
    clients.delta(5).stream.send(EDS, { sub: some(400, 1_000, 'e') });
  });

  it('bounds how many streams there are, though they name nothing', () => {
    const clients = new Connections({ maxIdentityBytes: MiB });
    for (let port = 0; port < MiB / bytesPerStream; port++) clients.delta(port);
    expect(clients.names.most).toBe(MiB);
    expect(() => clients.delta(99)).toThrow(refused);
    clients.delta(99, 'shop/cart');
  });

  it('counts once what its proxies have in common: a Deployment of many is one identity', () => {
    const clients = new Connections({ maxIdentityBytes: MiB });
    const names = some(1_000, 100, 'outbound|80||');
    for (let port = 0; port < 40; port++) clients.delta(port).stream.send(EDS, { sub: names });
    expect(clients.names.most).toBeLessThan(MiB);
  });
});
