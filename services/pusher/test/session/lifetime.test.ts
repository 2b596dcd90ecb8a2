import {
  DeltaDiscoveryResponse,
  DiscoveryResponse,
  Resource,
} from '@watershed/proto/envoy/service/discovery/v3/discovery.ts';
import { describe, expect, it } from 'vitest';
import { prefixBytes, type Frame } from '../../src/session/frame.ts';
import { CDS, EDS, initialOf, LDS, World } from './support.ts';
import { NameList } from '../../src/session/subscription.ts';
import type { Session } from '../../src/session/session.ts';

const shop = { [CDS]: { a: '1' }, [EDS]: { a: '1', b: '1' }, [LDS]: { l: '1' } };
const minute = new Map([
  [EDS, 60_000],
  [LDS, 60_000],
]);
const resourceType = 'type.googleapis.com/envoy.service.discovery.v3.Resource';

interface Said {
  readonly version: string;
  /** Name, TTL in seconds, whether there is a message. */
  readonly resources: readonly (readonly [string, number | undefined, boolean])[];
  readonly nonce: string;
  readonly type: string;
}

function said(frame: Frame | undefined): Said | undefined {
  if (frame === undefined) return undefined;
  const bytes = frame.bytes.subarray(prefixBytes);
  const row = ({ name, ttl, resource }: Resource): Said['resources'][number] => [
    name,
    ttl === undefined ? undefined : ttl.seconds + ttl.nanos / 1e9,
    resource !== undefined,
  ];
  if (frame.plan.mode === 'delta') {
    const { resources, nonce, typeUrl, systemVersionInfo } = DeltaDiscoveryResponse.decode(bytes);
    return { version: systemVersionInfo, resources: resources.map(row), nonce, type: typeUrl };
  }
  const { resources, nonce, typeUrl, versionInfo } = DiscoveryResponse.decode(bytes);
  const rows = resources.map((any) => {
    if (any.typeUrl === typeUrl) return [typeUrl, undefined, true] as const;
    expect(any.typeUrl).toBe(resourceType);
    const one = Resource.decode(any.value);
    // A client tells a heartbeat by the response's own version.
    expect(one.version).toBe(versionInfo);
    return row(one);
  });
  return { version: versionInfo, resources: rows, nonce, type: typeUrl };
}

const noNames = new NameList([]);

/** Asks, as a client that has nothing, or something (`initial`). */
function ask(world: World, session: Session, typeUrl: string, names: readonly string[]): void {
  const list = new NameList(names);
  const common = { typeUrl, nonce: '', error: undefined, node: undefined };
  session.request(
    session.mode === 'sotw'
      ? { ...common, mode: 'sotw', versionInfo: '', names: list }
      : { ...common, mode: 'delta', subscribe: list, unsubscribe: noNames, initial: undefined },
    world.nowMs,
  );
}

function answer(
  world: World,
  session: Session,
  to: Said | undefined,
  names: readonly string[],
  message?: string,
): void {
  const error = message === undefined ? undefined : { code: 13, message };
  const common = { typeUrl: to?.type ?? '', nonce: to?.nonce ?? '', error, node: undefined };
  session.request(
    session.mode === 'sotw'
      ? { ...common, mode: 'sotw', versionInfo: to?.version ?? '', names: new NameList(names) }
      : { ...common, mode: 'delta', subscribe: noNames, unsubscribe: noNames, initial: undefined },
    world.nowMs,
  );
}

function start(mode: 'sotw' | 'delta', ttlsMs?: ReadonlyMap<string, number>, onlyType?: string) {
  const world = new World();
  world.cut(shop);
  const options = {
    ...(ttlsMs === undefined ? {} : { ttlsMs }),
    ...(onlyType === undefined ? {} : { onlyType }),
  };
  const { session } = mode === 'sotw' ? world.sotw(options) : world.delta(options);
  const next = (): Said | undefined => said(session.next(world.nowMs));
  const ack = (to: Said | undefined): void => answer(world, session, to, ['a', 'b']);
  return { world, session, next, ack };
}

describe.each(['sotw', 'delta'] as const)('how long a %s client may keep things', (mode) => {
  it('rule 45: is said only to clients that know it, and a resend without it takes it back', () => {
    const plain = start(mode, undefined, EDS);
    ask(plain.world, plain.session, EDS, ['a']);
    expect(plain.next()?.resources.map(([, ttl]) => ttl)).toEqual([undefined]);
    plain.ack(undefined);
    expect(plain.session.wakeAtMs).toBe(Number.POSITIVE_INFINITY);
    const told = start(mode, minute);
    ask(told.world, told.session, EDS, ['a']);
    expect(told.next()?.resources).toEqual([['a', 60, true]]);
    const back = start(mode, new Map([[EDS, 0]]));
    ask(back.world, back.session, EDS, ['a']);
    expect(back.next()?.resources.map(([, ttl]) => ttl)).toEqual([undefined]);
  });

  it('rule 46: heartbeats name what the client holds, at the version that it has, without messages', () => {
    const { world, session, next, ack } = start(mode, minute, EDS);
    ask(world, session, EDS, ['a', 'b', 'absent']);
    const first = next();
    ack(first);
    expect(next()).toBeUndefined();
    expect(session.wakeAtMs).toBe(20_000);
    world.nowMs = 20_000;
    const beat = next();
    expect(beat?.resources).toEqual([
      ['a', 60, false],
      ['b', 60, false],
    ]);
    expect(beat?.version).toBe(first?.version);
    expect(beat?.nonce).not.toBe(first?.nonce);
    ack(beat);
    expect(next()).toBeUndefined();
    expect(session.wakeAtMs).toBe(40_000);
  });

  it('rule 46: a heartbeat follows a silent change with the version that was said last', () => {
    const { world, session, next, ack } = start(mode, minute);
    ask(world, session, EDS, ['a']);
    const first = next();
    answer(world, session, first, ['a']);
    session.setGoal(world.cut({ ...shop, [EDS]: { a: '1', b: '2' } }));
    expect(next()).toBeUndefined();
    world.nowMs = 20_000;
    const beat = next();
    expect(beat?.resources).toEqual([['a', 60, false]]);
    if (mode === 'sotw') expect(beat?.version).toBe(first?.version);
    ack(beat);
  });

  it('a heartbeat that is due while too many responses are unanswered comes with an answer', () => {
    const { world, session, next, ack } = start(mode, minute);
    ask(world, session, EDS, ['a']);
    const unanswered = [next()];
    for (; unanswered.length < 8; unanswered.push(next())) world.nowMs += 20_000;
    world.nowMs += 20_000;
    expect(next()).toBeUndefined();
    expect(session.wakeAtMs).toBe(Number.POSITIVE_INFINITY);
    ack(unanswered[0]);
    expect(next()?.resources).toEqual([['a', 60, false]]);
  });

  it('a heartbeat that comes too late, or is refused, becomes the resources themselves', () => {
    const { world, session, next, ack } = start(mode, minute);
    ask(world, session, EDS, ['a', 'b']);
    ack(next());
    expect(next()).toBeUndefined();
    world.nowMs = 60_000;
    const late = next();
    expect(late?.resources.map(([, , whole]) => whole)).toEqual([true, true]);
    ack(late);
    world.nowMs = 80_000;
    const beat = next();
    expect(beat?.resources.map(([, , whole]) => whole)).toEqual([false, false]);
    answer(world, session, beat, ['a', 'b'], 'no such resource');
    const again = next();
    expect(again?.resources.map(([, , whole]) => whole)).toEqual([true, true]);
    ack(again);
    expect(next()).toBeUndefined();
  });

  it('a thousand clients in one place share each heartbeat', () => {
    const world = new World();
    world.cut(shop);
    const sessions = Array.from({ length: 1_000 }, () => {
      const options = { ttlsMs: minute };
      return mode === 'sotw' ? world.sotw(options).session : world.delta(options).session;
    });
    for (const session of sessions) {
      ask(world, session, EDS, ['a', 'b']);
      answer(world, session, said(session.next(0)), ['a', 'b']);
      session.next(0);
    }
    const before = world.encoded.length;
    for (const session of sessions) expect(session.next(20_000)).toBeDefined();
    expect(world.encoded.length).toBe(before + 1);
  });
});

it('rule 47: S: resources with a TTL are wrapped; a full set has none, for its heartbeat would empty it', () => {
  const { world, session, next } = start('sotw', minute);
  ask(world, session, EDS, ['a']);
  const eds = next();
  expect(eds?.resources).toEqual([['a', 60, true]]);
  answer(world, session, eds, ['a']);
  ask(world, session, LDS, []);
  const lds = next();
  expect(lds?.resources).toEqual([[LDS, undefined, true]]);
  answer(world, session, lds, []);
  world.nowMs = 20_000;
  expect(next()?.type).toBe(EDS);
  expect(next()).toBeUndefined();
});

it('D: a full set has one, and it goes to a client that comes back as the first heartbeat', () => {
  const { world, session, next, ack } = start('delta', minute);
  session.request(
    {
      ...{ mode: 'delta', typeUrl: LDS, nonce: '', error: undefined, node: undefined },
      ...{ subscribe: noNames, unsubscribe: noNames, initial: initialOf(LDS, { l: '1' }) },
    },
    world.nowMs,
  );
  const beat = next();
  expect(beat?.resources).toEqual([['l', 60, false]]);
  ack(beat);
  expect(next()).toBeUndefined();
  expect(session.wakeAtMs).toBe(20_000);
});

it('D: a TTL that is no more is taken back from clients that come back, once', () => {
  const { world, session, next, ack } = start('delta', new Map([[LDS, 0]]));
  session.request(
    {
      ...{ mode: 'delta', typeUrl: LDS, nonce: '', error: undefined, node: undefined },
      ...{ subscribe: noNames, unsubscribe: noNames, initial: initialOf(LDS, { l: '1' }) },
    },
    world.nowMs,
  );
  const beat = next();
  expect(beat?.resources).toEqual([['l', undefined, false]]);
  ack(beat);
  expect(next()).toBeUndefined();
  expect(session.wakeAtMs).toBe(Number.POSITIVE_INFINITY);
});
