import type { Append } from '@watershed/log/port.ts';
import type { ScopeClass } from '@watershed/model/gen/record.ts';
import { onTestFinished } from 'vitest';
import { endpoints, route, scopeClass, service, source, World } from './world.ts';
import type { WorldOptions } from './world.ts';

export const shop = scopeClass('shop');

/** One service with endpoints and a route, and one without. */
export const shopRecords: readonly Append[] = [
  service({ host: 'a.test' }),
  service({ host: 'b.test' }),
  endpoints('a.test', '10.0.0.1'),
  route('r', 'a.test'),
];

/** A world that ends with its test. */
export async function openWorld(options: WorldOptions = {}): Promise<World> {
  const world = await World.open(options);
  onTestFinished(() => world.close());
  return world;
}

/** A world with these records, all of its source, and one demanded scope, translated. */
export async function translatedOf(
  records: readonly Append[],
  options: WorldOptions = {},
  scope: ScopeClass = shop,
): Promise<World> {
  const world = await openWorld(options);
  await world.write(...records, source());
  await world.demand(scope);
  await world.start();
  world.takeAppended();
  return world;
}
