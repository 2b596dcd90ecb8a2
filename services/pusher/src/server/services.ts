/** All RPCs that are served: a row per method. */
import type { Hub } from '../push/hub.ts';
import { clientStatusRows } from './client-status.ts';
import { discoveryRows } from './discovery.ts';
import { guarded, type GuardOptions, type Row } from './guard.ts';
import { healthRows } from './health.ts';
import type { Method } from './port.ts';
import { reflectionRows } from './reflection.ts';

export interface ServicesOptions extends GuardOptions {
  readonly hub: Hub;
}

export function methodsOf(options: ServicesOptions): readonly Method[] {
  const { hub, serving } = options;
  const served = [...discoveryRows(hub, serving), ...clientStatusRows(hub, serving)];
  const listed = [...served, ...healthRows(serving, servicesOf(served))];
  return guarded([...listed, ...reflectionRows(servicesOf(listed), serving)], options);
}

function servicesOf(rows: readonly Row[]): ReadonlySet<string> {
  return new Set(rows.map(({ path }) => path.slice(1, path.lastIndexOf('/'))));
}
