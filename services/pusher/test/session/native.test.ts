/**
 * A type of resource that is not Envoy's: the wildcard, names on demand, aliases and groups, as
 * ztunnel asks for them (rules 34 to 44 and 53 of `rules.test.ts`).
 */
import { Cluster } from '@watershed/proto/envoy/config/cluster/v3/cluster.ts';
import { DeltaDiscoveryResponse } from '@watershed/proto/envoy/service/discovery/v3/discovery.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { emptyView } from '../../src/session/context.ts';
import { prefixBytes } from '../../src/session/frame.ts';
import { NameList } from '../../src/session/subscription.ts';
import { hashName } from '../../src/view/trie.ts';
import type { Entry, TypeView } from '../../src/view/type-view.ts';
import { World, type DeltaSeen, type DeltaStream } from './support.ts';

const type = 'type.googleapis.com/own.Address';

interface Given {
  readonly version?: string;
  readonly aliases?: readonly string[];
  readonly groups?: readonly string[];
}

function entry(name: string, { version = '1', ...more }: Given): Entry {
  const fragments = [Cluster.encode(Cluster.fromPartial({ name })).finish()];
  const rest = { fragments, size: name.length + 2, refs: [] };
  return { typeUrl: type, name, hash: hashName(name), version, ...rest, ...more };
}

class Mesh extends World {
  #held: TypeView = emptyView(type);

  /** Sets resources; `undefined`: gone. */
  put(changes: Readonly<Record<string, Given | undefined>>): this {
    const set: Entry[] = [];
    const gone: string[] = [];
    for (const [name, given] of Object.entries(changes)) {
      if (given === undefined) gone.push(name);
      else set.push(entry(name, given));
    }
    this.#held = this.#held.with(set, gone);
    this.view = { ...this.cut({}), types: new Map([[type, this.#held]]) };
    return this;
  }
}

const pod = { aliases: ['net/10.0.0.1'] };
const other = { aliases: ['net/10.0.0.2'] };
const nothing = { sub: ['*'], unsub: ['*'] };

/** A request that says nothing but the type. */
const silence = {
  mode: 'delta',
  typeUrl: type,
  subscribe: new NameList([]),
  unsubscribe: new NameList([]),
  initial: undefined,
  error: undefined,
  node: undefined,
} as const;

const brief = (seen: readonly DeltaSeen[]): unknown[] =>
  seen.map(({ names, removed }) => [names, removed]);

function aliasesOf(seen: DeltaSeen | undefined): Readonly<Record<string, readonly string[]>> {
  const message = seen?.frame.bytes.subarray(prefixBytes) ?? new Uint8Array();
  const { resources } = DeltaDiscoveryResponse.decode(message);
  return Object.fromEntries(resources.map(({ name, aliases }) => [name, aliases]));
}

/** A ztunnel on demand: it asks for nothing, then by name. */
function onDemand(mesh: Mesh): DeltaStream {
  const stream = mesh.delta();
  const [empty] = stream.send(type, nothing);
  stream.ack(empty);
  return stream;
}

describe('a native type', () => {
  it('rule 38: a silent first request is all of it, and what comes later', () => {
    const mesh = new Mesh().put({ pod });
    const stream = mesh.delta();
    const [all] = stream.send(type);
    expect(brief([all!])).toEqual([[['pod'], []]]);
    stream.ack(all);
    mesh.put({ other });
    expect(brief(stream.follow().take())).toEqual([[['other'], []]]);
  });

  it('rule 38: an empty set is answered too, so that the client knows that it has all', () => {
    const stream = new Mesh().put({}).delta();
    expect(brief(stream.send(type))).toEqual([[[], []]]);
  });

  it('rule 53: `*` and not `*` is answered with nothing, and names follow on the same stream', () => {
    const mesh = new Mesh().put({ pod });
    const stream = mesh.delta();
    const [empty] = stream.send(type, nothing);
    expect(brief([empty!])).toEqual([[[], []]]);
    expect(stream.ack(empty)).toEqual([]);
    mesh.put({ other });
    expect(stream.follow().take()).toEqual([]);
    expect(brief(stream.send(type, { sub: ['pod'] }))).toEqual([[['pod'], []]]);
  });

  it('rule 44: an alias is answered under the real name, with all aliases', () => {
    const mesh = new Mesh().put({ pod: { aliases: ['net/10.0.0.1', 'net/fd00::1'] } });
    const [seen] = onDemand(mesh).send(type, { sub: ['net/fd00::1'] });
    expect(brief([seen!])).toEqual([[['pod'], []]]);
    expect(aliasesOf(seen)).toEqual({ pod: ['net/10.0.0.1', 'net/fd00::1'] });
  });

  it('rules 39 and 44: an unknown alias is removed at once, and found when it appears', () => {
    const mesh = new Mesh().put({ pod });
    const stream = onDemand(mesh);
    const [gone] = stream.send(type, { sub: ['net/10.0.0.2'] });
    expect(brief([gone!])).toEqual([[[], ['net/10.0.0.2']]]);
    stream.ack(gone);
    mesh.put({ other });
    const [seen] = stream.follow().take();
    expect(aliasesOf(seen)).toEqual({ other: ['net/10.0.0.2'] });
  });

  it('rules 40 and 44: what was found by an alias is updated, and removed, under its real name', () => {
    const mesh = new Mesh().put({ pod, other });
    const stream = onDemand(mesh);
    stream.ack(stream.send(type, { sub: ['net/10.0.0.1'] })[0]);
    mesh.put({ pod: { ...pod, version: '2' }, other: { ...other, version: '2' } });
    const [update] = stream.follow().take();
    expect(brief([update!])).toEqual([[['pod'], []]]);
    stream.ack(update);
    mesh.put({ pod: undefined });
    expect(brief(stream.follow().take())).toEqual([[[], ['pod']]]);
  });

  it('rule 44: an alias that moves removes who had it and brings who has it now', () => {
    const mesh = new Mesh().put({ pod });
    const stream = onDemand(mesh);
    stream.ack(stream.send(type, { sub: ['net/10.0.0.1'] })[0]);
    mesh.put({ pod: { version: '2', aliases: ['net/10.0.0.9'] }, heir: pod });
    expect(brief(stream.follow().take())).toEqual([[['heir'], ['pod']]]);
  });

  it('rule 44: an alias that several have brings them all', () => {
    const mesh = new Mesh().put({ old: pod, young: pod });
    const [seen] = onDemand(mesh).send(type, { sub: ['net/10.0.0.1'] });
    expect(brief([seen!])).toEqual([[['old', 'young'], []]]);
  });

  it('rules 34 and 44: a name that is asked for again is sent again, by whichever of its names', () => {
    const mesh = new Mesh().put({ pod });
    const stream = onDemand(mesh);
    stream.ack(stream.send(type, { sub: ['pod'] })[0]);
    expect(brief(stream.send(type, { sub: ['net/10.0.0.1'] }))).toEqual([[['pod'], []]]);
  });

  it('rules 35 to 37: names end as they began; the wildcard still covers an alias', () => {
    const mesh = new Mesh().put({ pod });
    const named = onDemand(mesh);
    named.ack(named.send(type, { sub: ['net/10.0.0.1'] })[0]);
    expect(named.send(type, { unsub: ['net/10.0.0.1', 'never'] })).toEqual([]);
    const all = mesh.delta();
    all.ack(all.send(type, { sub: ['*', 'net/10.0.0.1'] })[0]);
    const [still] = all.send(type, { unsub: ['net/10.0.0.1'] });
    expect(brief([still!])).toEqual([[['pod'], []]]);
    all.ack(still);
    mesh.put({ pod: { ...pod, version: '2' } });
    expect(named.follow().take()).toEqual([]);
    expect(brief(all.follow().take())).toEqual([[['pod'], []]]);
  });

  it('rules 41 and 42: all that is held, equal: no byte; changed, new and gone: that alone', () => {
    const mesh = new Mesh().put({ pod, other });
    const initial = { pod: '1', other: '1' };
    expect(mesh.delta().send(type, { initial })).toEqual([]);
    mesh.put({ pod: { ...pod, version: '2' }, other: undefined, third: {} });
    expect(brief(mesh.delta().send(type, { initial }))).toEqual([[['pod', 'third'], ['other']]]);
  });

  it('rules 41, 42 and 53: on demand, a client that comes back goes on with what it holds', () => {
    const mesh = new Mesh().put({ pod, other });
    const stream = mesh.delta();
    const initial = { pod: '1', lost: '1' };
    const [first] = stream.send(type, { ...nothing, initial });
    expect(brief([first!])).toEqual([[[], ['lost']]]);
    stream.ack(first);
    mesh.put({ pod: { ...pod, version: '2' }, other: { ...other, version: '2' } });
    expect(brief(stream.follow().take())).toEqual([[['pod'], []]]);
  });

  it.each([
    ['is gone', undefined],
    ['has moved', { version: '2', aliases: ['net/10.0.0.9'] }],
  ])('rules 42 and 44: what was found by an alias and %s meanwhile is removed', (_how, now) => {
    const mesh = new Mesh().put({ pod, other });
    mesh.put({ pod: now });
    const sub = ['net/10.0.0.1', 'net/10.0.0.2'];
    const stream = mesh.delta();
    const [seen] = stream.send(type, { sub, initial: { pod: '1', other: '1' } });
    // Whose an alias is, the client does not say: it is answered.
    expect(brief([seen!])).toEqual([[['other'], ['net/10.0.0.1', 'pod']]]);
    expect(stream.ack(seen)).toEqual([]);
    mesh.put({ pod: { version: '3', aliases: ['net/10.0.0.9'] } });
    expect(stream.follow().take()).toEqual([]);
  });

  it('rule 42: what is there as it is held, and asked for by no name any more, is removed', () => {
    const mesh = new Mesh().put({ pod });
    const sub = ['net/10.0.0.2'];
    const stream = mesh.delta();
    const [seen] = stream.send(type, { sub, initial: { pod: '1' } });
    expect(brief([seen!])).toEqual([[[], [...sub, 'pod']]]);
    stream.ack(seen);
    mesh.put({ pod: undefined });
    expect(stream.follow().take()).toEqual([]);
  });

  it('a NACK of one resource leaves the others of its push with the client', () => {
    const mesh = new Mesh().put({ pod, other });
    const stream = mesh.delta();
    const again = stream.nack(stream.send(type)[0], 'pod: no such protocol');
    // Some clients drop a refused response as a whole.
    expect(brief(again)).toEqual([[['other'], []]]);
    stream.ack(again[0]);
    mesh.put({ other: { ...other, version: '2' } });
    const [next] = stream.follow().take();
    expect(brief([next!])).toEqual([[['other'], []]]);
    stream.ack(next);
    mesh.put({ pod: { ...pod, version: '2' } });
    expect(brief(stream.follow().take())).toEqual([[['pod'], []]]);
  });
});

describe('a group', () => {
  const service = { aliases: ['net/10.9.0.1'] };
  const member = { ...pod, groups: ['ns/svc'] };

  it('brings its members to who asks for it by name or alias, and their changes', () => {
    for (const name of ['ns/svc', 'net/10.9.0.1']) {
      const mesh = new Mesh().put({ 'ns/svc': service, pod: member, other });
      const stream = onDemand(mesh);
      const [seen] = stream.send(type, { sub: [name] });
      expect(brief([seen!])).toEqual([[['ns/svc', 'pod'], []]]);
      stream.ack(seen);
      mesh.put({ pod: { ...member, version: '2' }, new: { groups: ['ns/svc'] } });
      const [changed] = stream.follow().take();
      expect(brief([changed!])).toEqual([[['new', 'pod'], []]]);
      stream.ack(changed);
      mesh.put({ pod: { ...pod, version: '3' } });
      expect(brief(stream.follow().take())).toEqual([[[], ['pod']]]);
    }
  });

  it('that goes, or is found by that alias no more, takes its members with it, and no other', () => {
    for (const now of [undefined, { version: '2', aliases: ['net/10.9.0.2'] }]) {
      const mesh = new Mesh().put({ 'ns/svc': service, pod: member, new: { groups: ['ns/svc'] } });
      const stream = onDemand(mesh);
      stream.ack(stream.send(type, { sub: ['net/10.9.0.1', 'new'] })[0]);
      mesh.put({ 'ns/svc': now });
      const [seen, ...more] = stream.follow().take();
      expect(brief([seen!, ...more])).toEqual([[[], ['ns/svc', 'pod']]]);
      stream.ack(seen);
      mesh.put({ 'ns/svc': { ...service, version: '3' } });
      expect(brief(stream.follow().take())).toEqual([[['new', 'ns/svc', 'pod'], []]]);
    }
  });

  it.each([
    ['is gone', undefined],
    ['has left it', { ...pod, version: '2' }],
  ])('rule 42: of which a member %s meanwhile has it removed, and no other', (_how, now) => {
    const mesh = new Mesh().put({ 'ns/svc': service, pod: member, new: { groups: ['ns/svc'] } });
    const back = { sub: ['ns/svc'], initial: { 'ns/svc': '1', pod: '1', new: '1' } };
    expect(mesh.delta().send(type, back)).toEqual([]);
    mesh.put({ pod: now });
    const stream = mesh.delta();
    const [seen] = stream.send(type, back);
    expect(brief([seen!])).toEqual([[[], ['pod']]]);
    expect(stream.ack(seen)).toEqual([]);
    mesh.put({ pod: member });
    expect(brief(stream.follow().take())).toEqual([[['pod'], []]]);
  });

  it('rule 42: of which a member is still wanted by an alias of its own keeps it', () => {
    const mesh = new Mesh().put({ 'ns/svc': service, pod: { ...pod, version: '2' } });
    const sub = ['ns/svc', 'net/10.0.0.1'];
    const [seen] = mesh.delta().send(type, { sub, initial: { 'ns/svc': '1', pod: '1' } });
    expect(brief([seen!])).toEqual([[['pod'], []]]);
  });

  it('rule 42: that is gone, and was asked for by an alias, has its members removed', () => {
    const mesh = new Mesh().put({ pod: member, other });
    const sub = ['net/10.9.0.1', 'net/10.0.0.2'];
    const initial = { 'ns/svc': '1', pod: '1', other: '1' };
    const [seen] = mesh.delta().send(type, { sub, initial });
    expect(brief([seen!])).toEqual([[['other'], ['net/10.9.0.1', 'ns/svc', 'pod']]]);
  });

  it('rule 42: that is gone with all that there is has its members removed', () => {
    const mesh = new Mesh().put({});
    const initial = { 'ns/svc': '1', pod: '1' };
    const [seen] = mesh.delta().send(type, { sub: ['ns/svc'], initial });
    expect(brief([seen!])).toEqual([[[], ['ns/svc', 'pod']]]);
  });

  it('that appears later brings the members that were there before', () => {
    const mesh = new Mesh().put({ pod: member });
    const stream = onDemand(mesh);
    stream.ack(stream.send(type, { sub: ['net/10.9.0.1'] })[0]);
    mesh.put({ 'ns/svc': service });
    expect(brief(stream.follow().take())).toEqual([[['ns/svc', 'pod'], []]]);
  });

  it('is no news to who has all: only what changed is sent', () => {
    const mesh = new Mesh().put({ pod: member });
    const stream = mesh.delta();
    stream.ack(stream.send(type)[0]);
    mesh.put({ 'ns/svc': service });
    expect(brief(stream.follow().take())).toEqual([[['ns/svc'], []]]);
  });
});

describe('many', () => {
  it('one change of 20,000 is one encoding of one resource, for 500 streams with all of them', () => {
    const mesh = new Mesh();
    const name = (at: number): string => `c1//Pod/ns/pod-${at}`;
    const one = (at: number): Given => ({ aliases: [`net/10.1.${at >> 8}.${at & 255}`] });
    mesh.put(Object.fromEntries(Array.from({ length: 20_000 }, (_, at) => [name(at), one(at)])));
    const sessions = Array.from({ length: 500 }, () => mesh.delta().session);
    for (const session of sessions) {
      session.request({ ...silence, nonce: '' }, 0);
      session.request({ ...silence, nonce: session.next(0)?.nonce ?? '' }, 0);
    }
    expect(mesh.encoded.length).toBe(1);
    mesh.put({ [name(7)]: { ...one(7), version: '2' } });
    const frames = sessions.flatMap((session) => {
      session.setGoal(mesh.view!);
      return [session.next(0), session.next(0)].filter((frame) => frame !== undefined);
    });
    expect(frames.length).toBe(500);
    expect(new Set(frames.map(({ bytes }) => bytes)).size).toBe(1);
    expect(frames[0]?.plan.entries.map((sent) => sent.name)).toEqual([name(7)]);
    expect(mesh.encoded.length).toBe(2);
    expect(mesh.encoded.at(-1)?.bytes.length).toBeLessThan(200);
  });

  it('a change is matched by its own names, however many a stream has subscribed', () => {
    const mesh = new Mesh().put({ pod, other });
    const stream = onDemand(mesh);
    const wanted = Array.from({ length: 20_000 }, (_, at) => `net/10.2.${at >> 8}.${at & 255}`);
    stream.ack(stream.send(type, { sub: [...wanted, 'net/10.0.0.1'] })[0]);
    let looked = 0;
    const held = stream.session.types()[0]?.subscription;
    const names = held?.names.bind(held);
    if (held !== undefined && names !== undefined) {
      held.names = (leaf) => {
        looked++;
        return names(leaf);
      };
    }
    mesh.put({ pod: { ...pod, version: '2' }, other: { ...other, version: '2' } });
    expect(brief(stream.follow().take())).toEqual([[['pod'], []]]);
    expect(looked).toBeLessThan(20);
  });
});

describe('a client that was away', () => {
  const services = { 'ns/a': {}, 'ns/b': { aliases: ['net/10.9.0.1'] } };
  const names = ['x', 'y', 'net/10.0.0.1', 'net/10.0.0.2', 'ns/a', 'ns/b', 'net/10.9.0.1'];
  const workload = fc.record({
    aliases: fc.subarray(['net/10.0.0.1', 'net/10.0.0.2']),
    groups: fc.subarray(Object.keys(services)),
    revision: fc.constantFrom('1', '2'),
  });
  const state = fc.dictionary(fc.constantFrom('x', 'y', 'z'), workload);
  const versioned = (of: Given): Given => ({ ...of, version: JSON.stringify(of) });

  it('comes to hold what a new one is given, by whichever names, at any moment', () => {
    fc.assert(
      fc.property(
        fc.subarray(names, { minLength: 1 }),
        fc.array(fc.tuple(state, fc.boolean()), { minLength: 1 }),
        (sub, script) => {
          const mesh = new Mesh().put(services);
          const held = new Map<string, string>();
          let stream = onDemand(mesh);
          const receive = (seen: readonly DeltaSeen[]): void => {
            for (const one of seen) {
              for (const name of one.removed) held.delete(name);
              for (const [name, version] of Object.entries(one.versions)) held.set(name, version);
              receive(stream.ack(one));
            }
          };
          receive(stream.send(type, { sub }));
          for (const [workloads, breaks] of script) {
            for (const name of ['x', 'y', 'z']) {
              const now = workloads[name];
              mesh.put({ [name]: now === undefined ? undefined : versioned(now) });
            }
            if (breaks) {
              stream = mesh.delta();
              receive(stream.send(type, { sub, initial: Object.fromEntries(held) }));
            } else receive(stream.follow().take());
          }
          const [fresh] = onDemand(mesh).send(type, { sub });
          expect(Object.fromEntries(held)).toEqual(fresh?.versions ?? {});
        },
      ),
    );
  });
});
