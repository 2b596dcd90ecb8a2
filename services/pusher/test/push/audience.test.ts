import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Audience } from '../../src/push/audience.ts';
import {
  fewNames,
  NameList,
  Subscriptions,
  type Subscription,
} from '../../src/session/subscription.ts';
import { CDS, EDS } from '../session/support.ts';
import { contentOf, DeltaClient } from '../support/client.ts';
import { scopeOfNode } from '../support/scope.ts';
import { run, until, type Running } from '../support/world.ts';

describe('the streams of a scope', () => {
  const subscriptions = new Subscriptions();
  const asked = (...names: readonly string[]): Subscription =>
    subscriptions.of(new NameList(names));
  const stream = (assignments?: Subscription) => ({ assignments });
  const many = Array.from({ length: fewNames + 1 }, (_, at) => `n${at}`);

  it('are found by the assignments that they ask for; who asks for many is always among them', () => {
    const audience = new Audience<ReturnType<typeof stream>>();
    const [a, ab, none] = [stream(asked('a')), stream(asked('a', 'b')), stream()] as const;
    const [all, some] = [stream(asked('*')), stream(asked(...many))] as const;
    for (const one of [a, ab, none, all, some]) audience.add(one);
    expect(audience.of(['a'])).toEqual(new Set([all, some, a, ab]));
    expect(audience.of(['b', 'none'])).toEqual(new Set([all, some, ab]));
    expect([...audience]).toHaveLength(5);
    for (const one of [ab, all]) audience.delete(one);
    expect(audience.of(['a', 'b'])).toEqual(new Set([some, a]));
    expect(audience.size).toBe(3);
  });

  it('are found by what they ask for now', () => {
    const audience = new Audience<ReturnType<typeof stream>>();
    const one = stream();
    audience.add(one);
    expect(audience.noted(one)).toBe(false);
    one.assignments = asked('a');
    expect([audience.noted(one), audience.noted(one)]).toEqual([true, false]);
    one.assignments = asked('b');
    expect(audience.noted(one)).toBe(true);
    expect([audience.of(['a']).size, audience.of(['b']).size]).toEqual([0, 1]);
    one.assignments = asked(...many);
    audience.noted(one);
    expect(audience.of([]).size).toBe(1);
    audience.delete(one);
    expect([audience.of(many).size, audience.noted(one)]).toEqual([0, false]);
  });
});

describe('a changed assignment', () => {
  const scope = scopeOfNode();
  const clients: DeltaClient[] = [];
  let running: Running;

  beforeEach(async () => {
    running = await run();
    const first = { [CDS]: { a: '1', b: '1' }, [EDS]: { a: '1', b: '1' } };
    await running.translator.publish(first, { [scope.id]: scope.scopeClass });
  });

  afterEach(async () => {
    for (const client of clients.splice(0)) client.close();
    await running.stop();
  });

  async function asking(name: string): Promise<DeltaClient> {
    const client = new DeltaClient(running.port);
    clients.push(client);
    client.request(EDS, { resourceNamesSubscribe: [name] });
    const response = await client.next();
    expect(contentOf(response)).toEqual({ [name]: '1' });
    client.ack(response);
    return client;
  }

  it('is pushed to who asks for it; others stay, and go on to the newest view all the same', async () => {
    const [a, b] = [await asking('a'), await asking('b')];
    await running.translator.resource(EDS, 'a', '2');
    expect(contentOf(await a.next())).toEqual({ a: '2' });
    const views = (): number =>
      new Set([...running.pusher.hub.streams].map(({ session }) => session?.goal)).size;
    await until('both are at one view', () => views() === 1);
    expect(b.responses).toHaveLength(1);
  });

  it('is there at once for who asks for it after it changed', async () => {
    const [a, b] = [await asking('a'), await asking('b')];
    await running.translator.resource(EDS, 'a', '2');
    expect(contentOf(await a.next())).toEqual({ a: '2' });
    b.request(EDS, { resourceNamesSubscribe: ['a'] });
    const response = await b.next();
    expect(contentOf(response)).toEqual({ a: '2' });
    b.ack(response);
    await running.translator.resource(EDS, 'a', '3');
    expect(contentOf(await b.next())).toEqual({ a: '3' });
  });

  it('that changes fast is pushed with its last value in the end', async () => {
    const a = await asking('a');
    for (let version = 2; version <= 40; version++) {
      await running.translator.resource(EDS, 'a', String(version));
    }
    let last = '';
    while (last !== '40') {
      const response = await a.next();
      last = contentOf(response)['a'] ?? '';
      a.ack(response);
    }
    expect(last).toBe('40');
  });
});
