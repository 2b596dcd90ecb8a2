import { resourceTypes } from '@watershed/proto/any.ts';
import { isLocator } from '../resource-name.ts';
import type { SessionContext } from '../session/context.ts';
import { traitsOf } from '../session/type-traits.ts';
import type { ScopeView } from '../view/scope-view.ts';
import type { TypeView } from '../view/type-view.ts';
import type { Refusal } from './nack-tally.ts';

/** Tells whether a version is what streams of that view are sent, in whatever form they ask for it. */
export function servedBy(
  context: SessionContext,
  view: ScopeView,
): (refusal: Pick<Refusal, 'typeUrl' | 'resource' | 'version'>) => boolean {
  // Hundreds may be asked for of one view.
  const known = new Map<string, readonly TypeView[]>();
  return ({ typeUrl, resource, version }) => {
    const ofType = known.get(typeUrl) ?? [...forms(context, view, typeUrl)];
    known.set(typeUrl, ofType);
    // Second names of a whole view are not made for one that has none.
    const named = (form: TypeView): TypeView =>
      isLocator(resource) ? context.located.of(form) : form;
    return ofType.some((form) => named(form).get(resource)?.version === version);
  };
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
