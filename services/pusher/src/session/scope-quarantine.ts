import type { TypeView } from '../view/type-view.ts';
import type { SessionContext } from './context.ts';
import type { Quarantined, ScopeQuarantine } from './quarantine.ts';
import type { TypeState } from './type-state.ts';

/**
 * Of a scope's quarantine, what a stream is spared: it keeps what it has, or gets what was good
 * last.
 */
export function spared(
  context: SessionContext,
  state: TypeState,
  target: TypeView,
  how: { readonly scope: string; readonly quarantine: ScopeQuarantine },
): readonly Quarantined[] {
  const { typeUrl } = state.traits;
  const found: Quarantined[] = [];
  for (const [name, versions] of how.quarantine.get(typeUrl) ?? []) {
    const entry = target.get(name);
    if (entry === undefined || !versions.has(entry.version)) continue;
    const has = state.held?.lookup(entry);
    if (has?.version === entry.version) continue;
    const known = state.quarantine?.all.some(
      (one) => one.name === name && one.refused === entry.version,
    );
    if (known === true) continue;
    const held = has ?? context.past.lastGood(how.scope, typeUrl, name, versions);
    found.push({ name, refused: entry.version, held, unsure: false, spared: true });
  }
  return found;
}

/** Names that a stream was spared for others' sake, who no longer refuse what it has. */
export function freed(
  { traits, quarantine }: TypeState,
  now: ScopeQuarantine | undefined,
): ReadonlySet<string> {
  const versions = now?.get(traits.typeUrl);
  const over = (quarantine?.all ?? []).filter(
    ({ name, refused, spared: isSpared }) => isSpared && versions?.get(name)?.has(refused) !== true,
  );
  return new Set(over.map(({ name }) => name));
}

/**
 * What a client may hold, without what is in quarantine: it was hardly sent that. The
 * same object for all, so that those who come back at once share frames.
 */
export function unrefused(
  context: SessionContext,
  view: TypeView | undefined,
  quarantine: ScopeQuarantine | undefined,
): TypeView | undefined {
  if (view === undefined) return undefined;
  const refused: Quarantined[] = [];
  for (const [name, versions] of quarantine?.get(view.typeUrl) ?? []) {
    const version = view.get(name)?.version;
    if (version === undefined || !versions.has(version)) continue;
    refused.push({ name, refused: version, held: undefined, unsure: false, spared: true });
  }
  return view.replacing(context.quarantines.add(undefined, refused));
}
