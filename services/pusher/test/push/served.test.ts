import { resourceTypes } from '@watershed/proto/any.ts';
import { expect, it, vi } from 'vitest';
import { servedBy } from '../../src/push/served.ts';
import { locatorOf } from '../../src/resource-name.ts';
import { LDS, RDS, World } from '../session/support.ts';

it('what is served by a second name is found, and others cost no second names', () => {
  const world = new World();
  const view = world.cut({ [LDS]: { a: '1' } });
  const made = vi.spyOn(world.context.located, 'of');
  const isServed = servedBy(world.context, view);
  const asked = { typeUrl: LDS, version: '1' };
  expect(isServed({ ...asked, resource: 'a' })).toBe(true);
  expect(made).not.toHaveBeenCalled();
  expect(isServed({ ...asked, resource: locatorOf(LDS, 'a') })).toBe(true);
  expect(isServed({ ...asked, resource: locatorOf(LDS, 'a'), version: '2' })).toBe(false);
});

it('a view is looked through once, whatever is asked for of it', () => {
  const world = new World();
  const view = world.cut({ [RDS]: { '80': '1', '8080': '1' } });
  const made = vi.spyOn(world.context.hostTables, 'namesOf');
  const isServed = servedBy(world.context, view);
  for (const resource of ['80/a', '80/b', '8080/a']) {
    isServed({ typeUrl: resourceTypes.virtualHost, resource, version: '1' });
  }
  expect(made).toHaveBeenCalledTimes(1);
});
