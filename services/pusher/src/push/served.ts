import { resourceTypes } from '@watershed/proto/any.ts';
import type { SessionContext } from '../session/context.ts';
import { traitsOf } from '../session/type-traits.ts';
import type { ScopeView } from '../view/scope-view.ts';
import type { TypeView } from '../view/type-view.ts';
import type { Refusal } from './nack-tally.ts';

/** Whether a version is what streams of that view are sent, in whatever form they ask for it. */
export function isServed(context: SessionContext, view: ScopeView, refusal: Refusal): boolean {
  for (const form of forms(context, view, refusal.typeUrl)) {
    const served = context.located.of(form).get(refusal.resource);
    if (served?.version === refusal.version) return true;
  }
  return false;
}

function* forms(
  { assignments, hostTables }: SessionContext,
  { types }: ScopeView,
  typeUrl: string,
): Generator<TypeView> {
  const { route, virtualHost, cluster } = resourceTypes;
  const view = types.get(typeUrl);
  if (view !== undefined) {
    const clusters = types.get(cluster);
    // Versions of assignments cover their clusters.
    const covers = traitsOf(typeUrl).stage === 'assignments' && clusters !== undefined;
    yield covers ? assignments.derive(view, clusters) : view;
  }
  const tables = types.get(route);
  if (tables === undefined) return;
  if (typeUrl === route) yield hostTables.heads(tables);
  if (typeUrl !== virtualHost) return;
  const names: string[] = [];
  tables.each(({ name }) => names.push(name));
  const all = hostTables.namesOf(names);
  yield hostTables.hosts(tables, all);
  yield hostTables.hosts(tables, all, true);
}
