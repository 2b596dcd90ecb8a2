import { resourceTypes } from '@watershed/proto/any.ts';
import { RouteConfiguration } from '@watershed/proto/envoy/config/route/v3/route.ts';
import { VirtualHost } from '@watershed/proto/envoy/config/route/v3/route_components.ts';
import {
  DeltaDiscoveryResponse,
  type DeltaDiscoveryResponse as Response,
} from '@watershed/proto/envoy/service/discovery/v3/discovery.ts';
import { describe, expect, it } from 'vitest';
import { emptyView } from '../../src/session/context.ts';
import { prefixBytes } from '../../src/session/frame.ts';
import type { SessionOptions } from '../../src/session/session-options.ts';
import type { Session } from '../../src/session/session.ts';
import { NameList } from '../../src/session/subscription.ts';
import { hashName } from '../../src/view/trie.ts';
import type { Entry } from '../../src/view/type-view.ts';
import { initialOf, missing, RDS, World } from './support.ts';
import type { Missing } from '../../src/view/missing.ts';

const VHDS = resourceTypes.virtualHost;

/** By table: host → what of it changes. */
type Tables = Readonly<Record<string, Readonly<Record<string, string>>>>;

const parts = new Map<string, Uint8Array>();

/** Equal parts are one buffer, as they are where blobs are loaded. */
function part(message: RouteConfiguration): Uint8Array {
  const bytes = RouteConfiguration.encode(message).finish();
  const key = Buffer.from(bytes).toString('hex');
  const known = parts.get(key) ?? bytes;
  parts.set(key, known);
  return known;
}

function table(name: string, hosts: Readonly<Record<string, string>>): Entry {
  const fragments = [
    part(RouteConfiguration.fromPartial({ name })),
    ...Object.entries(hosts).map(([host, prefix]) =>
      part(
        RouteConfiguration.fromPartial({
          virtualHosts: [
            { name: host, domains: [host, `${host}.local`], routes: [{ name: prefix }] },
          ],
        }),
      ),
    ),
  ];
  return {
    ...{ typeUrl: RDS, name, hash: hashName(name), fragments, size: 1, refs: [] },
    version: JSON.stringify(hosts),
  };
}

class Tabled extends World {
  tables(tables: Tables, lacks?: Missing): this {
    const before = this.view?.types.get(RDS) ?? emptyView(RDS);
    const set = Object.entries(tables).map(([name, hosts]) => table(name, hosts));
    const gone: string[] = [];
    before.each(({ name }) => {
      if (!Object.hasOwn(tables, name)) gone.push(name);
    });
    this.view = {
      ...{ scope: 's', sequence: 1, epoch: 1, sinceMs: 0, trace: undefined },
      missing: lacks,
      types: new Map([[RDS, before.with(set, gone)]]),
    };
    return this;
  }
}

const none = new NameList([]);
const onDemand = { hostsOnDemand: true };

class Client {
  readonly session: Session;
  readonly #world: World;

  constructor(world: World, options: Partial<SessionOptions> = {}) {
    this.#world = world;
    this.session = world.delta({ hostsApart: true, ...options }).session;
  }

  /** Subscribes, and gives the responses. */
  ask(typeUrl: string, sub: readonly string[], initial?: Record<string, string>): Response[] {
    this.#send(typeUrl, '', sub, initial);
    return this.take();
  }

  unsubscribe(typeUrl: string, names: readonly string[]): void {
    this.session.request(
      {
        ...{ mode: 'delta', typeUrl, nonce: '', error: undefined, node: undefined },
        ...{ subscribe: none, unsubscribe: new NameList(names), initial: undefined },
      },
      this.#world.nowMs,
    );
  }

  #send(typeUrl: string, nonce: string, sub: readonly string[], initial?: Record<string, string>) {
    this.session.request(
      {
        ...{ mode: 'delta', typeUrl, nonce, error: undefined, node: undefined },
        ...{ subscribe: new NameList(sub), unsubscribe: none },
        initial: initial === undefined ? undefined : initialOf(typeUrl, initial),
      },
      this.#world.nowMs,
    );
  }

  /** All that it is sent, ACKed as it comes. */
  take(): Response[] {
    if (this.#world.view !== undefined) this.session.setGoal(this.#world.view);
    const seen: Response[] = [];
    for (;;) {
      const frame = this.session.next(this.#world.nowMs);
      if (frame === undefined) return seen;
      const response = DeltaDiscoveryResponse.decode(frame.bytes.subarray(prefixBytes));
      seen.push(response);
      this.#send(response.typeUrl, response.nonce, []);
    }
  }
}

const brief = (seen: readonly Response[]): unknown[] =>
  seen.map((one) => [
    one.typeUrl === RDS ? 'RDS' : 'VHDS',
    one.resources.map(({ name }) => name),
    one.removedResources,
  ]);

const shop = { '80': { a: '1', b: '1' }, '90': { c: '1' } };

describe('virtual hosts apart from their tables', () => {
  it('rule 48: a table has none, and each is named TABLE/HOST, whole and with its domains', () => {
    const client = new Client(new Tabled().tables(shop));
    const [rds] = client.ask(RDS, ['80']);
    const config = RouteConfiguration.decode(
      rds?.resources[0]?.resource?.value ?? new Uint8Array(),
    );
    expect([config.name, config.virtualHosts]).toEqual(['80', []]);
    expect(config.vhds?.configSource).toMatchObject({
      resourceApiVersion: 2,
      configSourceSpecifier: { $case: 'ads' },
    });
    const [vhds] = client.ask(VHDS, []);
    expect(brief([vhds!])).toEqual([['VHDS', ['80/a', '80/b'], []]]);
    const host = VirtualHost.decode(vhds?.resources[0]?.resource?.value ?? new Uint8Array());
    expect([host.name, host.domains]).toEqual(['80/a', ['a', 'a.local']]);
    expect(vhds?.resources[0]?.aliases).toEqual(['80/a.local']);
  });

  it('rule 48: they are served over delta only', () => {
    const world = new Tabled().tables(shop);
    expect(() => world.sotw().send(VHDS, [])).toThrow('delta only');
    // Such a client has its tables whole, whatever its node says.
    const [rds] = world.sotw({ hostsApart: true }).send(RDS, ['80']);
    expect(rds?.frame.plan.entries[0]?.fragments).toHaveLength(3);
  });

  it('a host that changes costs that host, not its table; a domain moves in one message', () => {
    const world = new Tabled().tables(shop);
    const client = new Client(world);
    client.ask(RDS, ['80', '90']);
    client.ask(VHDS, []);
    world.tables({ ...shop, '80': { a: '2', b: '1' } });
    expect(brief(client.take())).toEqual([['VHDS', ['80/a'], []]]);
    world.tables({ ...shop, '80': { a: '2', d: '1' } });
    expect(brief(client.take())).toEqual([['VHDS', ['80/d'], ['80/b']]]);
  });

  it('they follow every new subscription to their table, whatever the client says it has', () => {
    const world = new Tabled().tables(shop);
    const client = new Client(world);
    client.ask(RDS, ['80']);
    const [vhds] = client.ask(VHDS, []);
    // Hosts of a table that it has not are lost on it, so it is not given them.
    expect(brief(client.ask(RDS, ['90']))).toEqual([
      ['RDS', ['90'], []],
      ['VHDS', ['90/c'], []],
    ]);
    expect(brief(client.ask(RDS, ['80']))).toEqual([
      ['RDS', ['80'], []],
      ['VHDS', ['80/a', '80/b'], []],
    ]);
    const held = Object.fromEntries(vhds!.resources.map((one) => [one.name, one.version]));
    const back = new Client(world);
    back.ask(RDS, ['80']);
    expect(brief(back.ask(VHDS, [], held))).toEqual([['VHDS', ['80/a', '80/b'], []]]);
  });

  it('a client that comes back with both is told what differs', () => {
    const world = new Tabled().tables(shop);
    const first = new Client(world);
    const versions = (seen: Response | undefined): Record<string, string> =>
      Object.fromEntries((seen?.resources ?? []).map((one) => [one.name, one.version]));
    const tables = versions(first.ask(RDS, ['80'])[0]);
    const hosts = versions(first.ask(VHDS, [])[0]);
    const same = new Client(world);
    expect(same.ask(RDS, ['80'], tables)).toEqual([]);
    expect(same.ask(VHDS, [], hosts)).toEqual([]);
    world.tables({ '80': { a: '2' } });
    const back = new Client(world);
    expect(back.ask(RDS, ['80'], tables)).toEqual([]);
    expect(brief(back.ask(VHDS, [], hosts))).toEqual([['VHDS', ['80/a'], ['80/b']]]);
  });

  it('rule 49: a host asked for on demand comes by its domain; an unknown one has a name and no body', () => {
    const world = new Tabled().tables(shop);
    const client = new Client(world);
    client.ask(RDS, ['80']);
    client.ask(VHDS, []);
    const [known] = client.ask(VHDS, ['80/a.local']);
    expect(brief([known!])).toEqual([['VHDS', ['80/a'], []]]);
    const [unknown] = client.ask(VHDS, ['80/nobody:80']);
    expect(unknown?.resources).toMatchObject([
      { name: '80/nobody:80', aliases: ['80/nobody:80'], resource: undefined },
    ]);
    expect(unknown?.removedResources).toEqual([]);
    world.tables({ '80': { ...shop['80'], 'nobody:80': '1' } });
    expect(brief(client.take())).toEqual([['VHDS', ['80/nobody:80'], []]]);
  });

  it('a table that is given up takes its hosts along', () => {
    const world = new Tabled().tables(shop);
    const client = new Client(world);
    client.ask(RDS, ['80', '90']);
    client.ask(VHDS, []);
    client.unsubscribe(RDS, ['90']);
    expect(brief(client.take())).toEqual([['VHDS', [], ['90/c']]]);
    world.tables({ ...shop, '90': { c: '2' } });
    expect(client.take()).toEqual([]);
  });
});

/** Its client has the tables by other streams, if at all; whatever its node says. */
describe.each([
  ['that has them in its tables', { hostsApart: false }],
  ['that has them apart', {}],
  ['that has them on demand', onDemand],
])('a stream of virtual hosts alone, of a client %s', (_who, options) => {
  const alone = (world: World): Client => new Client(world, { ...options, onlyType: VHDS });

  it('rules 25 and 48: has the hosts of all tables, as they change and go, and as tables do', () => {
    const world = new Tabled().tables(shop);
    const client = alone(world);
    expect(brief(client.ask(VHDS, []))).toEqual([['VHDS', ['80/a', '80/b', '90/c'], []]]);
    world.tables({ ...shop, '80': { a: '2', d: '1' } });
    expect(brief(client.take())).toEqual([['VHDS', ['80/a', '80/d'], ['80/b']]]);
    world.tables({ '80': { a: '2', d: '1' }, '70': { e: '1' } });
    expect(brief(client.take())).toEqual([['VHDS', ['70/e'], ['90/c']]]);
  });

  it('of a view that is not whole: hosts of a table that is missing stay, and others go', () => {
    const world = new Tabled().tables(shop);
    const client = new Client(world);
    const tables = client.ask(RDS, ['80', '90'])[0]!.resources;
    const hosts = client.ask(VHDS, [])[0]!.resources;
    const of = (all: typeof hosts): Record<string, string> =>
      Object.fromEntries(all.map(({ name, version }) => [name, version]));
    world.tables({ '80': { a: '1' } }, missing([RDS, '90']));
    const back = new Client(world);
    const { '90': _, ...some } = of(tables);
    back.ask(RDS, ['80', '90'], some);
    expect(brief(back.ask(VHDS, [], of(hosts)))).toEqual([['VHDS', [], ['80/b']]]);
    // A table that is new to it brings its hosts, whatever it says that it has (rule 25).
    const anew = new Client(world);
    anew.ask(RDS, ['80']);
    expect(brief(anew.ask(VHDS, [], of(hosts)))).toEqual([['VHDS', ['80/a'], ['80/b']]]);
  });

  it('rule 41: is told what differs when it comes back', () => {
    const world = new Tabled().tables(shop);
    const [seen] = alone(world).ask(VHDS, []);
    const held = Object.fromEntries(seen!.resources.map((one) => [one.name, one.version]));
    expect(alone(world).ask(VHDS, [], held)).toEqual([]);
    world.tables({ '80': { a: '2', b: '1' } });
    expect(brief(alone(world).ask(VHDS, [], held))).toEqual([['VHDS', ['80/a'], ['90/c']]]);
  });

  it('rules 48 and 49: has what it names, by host or domain; what there is not has no body', () => {
    const world = new Tabled().tables(shop);
    const client = alone(world);
    const [seen] = client.ask(VHDS, ['80/a.local', '90/c', '80/nobody', '70/e']);
    expect(seen?.resources.map((one) => [one.name, one.aliases, one.resource?.typeUrl])).toEqual([
      ['80/a', ['80/a.local'], VHDS],
      ['90/c', ['90/c.local'], VHDS],
      ['70/e', ['70/e'], undefined],
      ['80/nobody', ['80/nobody'], undefined],
    ]);
    expect(seen?.removedResources).toEqual([]);
    world.tables({ '80': { a: '1', b: '2' }, '70': { e: '1' } });
    expect(brief(client.take())).toEqual([['VHDS', ['70/e'], ['90/c']]]);
  });
});

describe('virtual hosts on demand', () => {
  it('rule 48: a client is given the hosts that it asks for and no others, whatever changes', () => {
    const world = new Tabled().tables(shop);
    const client = new Client(world, onDemand);
    client.ask(RDS, ['80']);
    // A client whose table stays empty would wait: that it is, is said by a name of no host.
    expect(client.ask(VHDS, [])[0]?.resources).toMatchObject([
      { name: '80/<none>', aliases: ['80/<none>'], resource: undefined },
    ]);
    expect(brief(client.ask(VHDS, ['80/a']))).toEqual([['VHDS', ['80/a'], []]]);
    world.tables({ ...shop, '80': { a: '2', b: '2' } });
    expect(brief(client.take())).toEqual([['VHDS', ['80/a'], []]]);
    world.tables({ ...shop, '80': { b: '2' } });
    expect(brief(client.take())).toEqual([['VHDS', [], ['80/a']]]);
  });

  it('rule 48: nor is it when it comes back, and says `*` with the names that it has', () => {
    const world = new Tabled().tables(shop);
    const client = new Client(world, onDemand);
    const held = { '80/a': 'old', '80/gone': '1' };
    client.ask(RDS, ['80'], {});
    expect(brief(client.ask(VHDS, ['*', '80/a', '80/gone'], held))).toEqual([
      ['VHDS', ['80/a', '80/<none>'], ['80/gone']],
    ]);
  });

  it('rule 49: a host with a port is found without it, and answered by the name it was asked by', () => {
    const client = new Client(new Tabled().tables(shop), onDemand);
    client.ask(RDS, ['80']);
    client.ask(VHDS, []);
    const [seen] = client.ask(VHDS, ['80/a.local:8080']);
    expect(seen?.resources).toMatchObject([
      { name: '80/a', aliases: ['80/a.local'] },
      { name: '80/a.local:8080', aliases: ['80/a.local:8080'], resource: undefined },
    ]);
  });

  it('rule 49: a table that comes anew brings the hosts along that were asked for', () => {
    const world = new Tabled().tables(shop);
    const client = new Client(world, onDemand);
    client.ask(RDS, ['80']);
    client.ask(VHDS, []);
    client.ask(VHDS, ['80/b.local']);
    const [, hosts] = client.ask(RDS, ['80']);
    expect(brief([hosts!])).toEqual([['VHDS', ['80/b', '80/<none>'], []]]);
  });

  it('all hosts of a table come where one has a wildcard: it would take what is not there yet', () => {
    const world = new Tabled().tables({ '80': { a: '1', '*.b': '1' }, '90': { c: '1' } });
    const client = new Client(world, onDemand);
    client.ask(RDS, ['80', '90']);
    expect(brief(client.ask(VHDS, []))).toEqual([
      ['VHDS', ['80/*.b', '80/a', '80/<none>', '90/<none>'], []],
    ]);
    world.tables({ '80': { a: '1', '*.b': '2', d: '1' }, '90': { c: '2' } });
    expect(brief(client.take())).toEqual([['VHDS', ['80/*.b', '80/d'], []]]);
    const back = new Client(world, onDemand);
    const held = { [RDS]: { '80': 'x' }, [VHDS]: { '80/a': 'x', '80/gone': 'x' } };
    back.ask(RDS, ['80'], held[RDS]);
    expect(
      back.ask(VHDS, ['*', '80/gone'], held[VHDS]).flatMap((one) => one.removedResources),
    ).toEqual(['80/gone']);
  });

  it('when the wildcard comes or goes, so do the hosts that were not asked for', () => {
    const world = new Tabled().tables({ '80': { a: '1', b: '1' } });
    const client = new Client(world, onDemand);
    client.ask(RDS, ['80']);
    client.ask(VHDS, []);
    client.ask(VHDS, ['80/a.local:80']);
    world.tables({ '80': { a: '1', b: '1', '*.c': '1' } });
    expect(brief(client.take())).toEqual([['VHDS', ['80/*.c', '80/a', '80/b'], []]]);
    world.tables({ '80': { a: '1', b: '1' } });
    expect(brief(client.take())).toEqual([['VHDS', ['80/a'], ['80/*.c', '80/b']]]);
  });
});
