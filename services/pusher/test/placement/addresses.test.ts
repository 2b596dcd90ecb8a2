import type { Pusher } from '@watershed/model/gen/record.ts';
import { VirtualTime } from '@watershed/runtime/virtual-time.ts';
import { beforeEach, expect, it } from 'vitest';
import { advertised, reached } from '../../src/placement/advertised.ts';
import { Membership } from '../../src/placement/membership.ts';
import { loggerInto } from '../support/world.ts';

const address = 'a:15012';

let time: VirtualTime;
let lines: string[];
let membership: Membership;

beforeEach(() => {
  time = new VirtualTime();
  lines = [];
  membership = new Membership({
    ...{ name: 'one', address: () => address, time, logger: loggerInto(lines) },
    load: () => ({ streams: 0, scopes: 0 }),
    tell: (pusher) => membership.heard('one', pusher),
  });
  membership.start();
});

async function beat(name: string): Promise<void> {
  const expiresMs = time.now() + 30_000;
  const pusher: Pusher = { address, streams: 0, scopes: 0, readsInlined: true, expiresMs };
  membership.heard(name, pusher);
  await time.advance(10_000);
}

it('two pushers of one address are warned of, once', async () => {
  for (let count = 0; count < 5; count++) await beat('two');
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain('"address":"a:15012"');
  expect(lines[0]).toContain('"level":"warn"');
});

it('one that was killed is not taken for a second one at the address of its successor', async () => {
  membership.leave();
  await beat('killed');
  for (let count = 0; count < 5; count++) await beat('its successor');
  expect(lines).toEqual([]);
});

it('is that of the listener that others reach', () => {
  const loopback = { host: '127.0.0.1', port: 15010 };
  const secure = { host: '', port: 15012 };
  expect(reached(loopback, secure)).toBe(secure);
  expect(reached(loopback, undefined)).toBe(loopback);
  const allowed = { host: '', port: 15010 };
  expect(reached(allowed, secure)).toBe(allowed);
  // Each Pod's name is its own.
  expect(advertised(secure)).toMatch(/^.+:15012$/u);
});
