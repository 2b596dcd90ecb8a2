import { isCollection } from '../resource-name.ts';
import type { SessionContext } from './context.ts';
import type { DeltaRequest, SotwRequest } from './request.ts';
import { namesHeld } from './lifetime.ts';
import { NameList } from './subscription.ts';
import type { TypeState } from './type-state.ts';

/**
 * State of the world: the list is the whole subscription (rule 15), unless the request is stale
 * (rule 11).
 */
export function applySotw(
  context: SessionContext,
  state: TypeState,
  request: SotwRequest,
  how: { readonly first: boolean; readonly answered: boolean | undefined },
): void {
  const { subscriptions } = context;
  const { first } = how;
  // An empty nonce is no stale one: the client had no response yet when it sent the request.
  if (!first && request.nonce !== '' && how.answered !== true) return;
  const before = state.subscription;
  if (request.names.length > 0) {
    state.everNamed = true;
    state.locates ||= request.names.hasLocator;
    state.subscription = subscriptions.of(request.names);
  } else {
    const silence = state.traits.wildcardBySilence && !state.everNamed;
    state.subscription = silence ? subscriptions.all() : subscriptions.none;
  }
  const after = state.subscription;
  if (first) state.resumed = request.versionInfo !== '';
  if (first || after !== before) state.owe(subscriptions.newNames(before, after));
  const isNamed = !after.wildcard && after.size > 0;
  if (first && state.traits.fullSet && isNamed && state.resumed) state.resume = request.versionInfo;
  if (!after.wildcard || before.wildcard) return;
  state.mustAnswer = true;
  // What is sent in part is named anew by the wildcard (rule 16).
  if (!first && !state.traits.fullSet) state.held = context.empty(state.traits.typeUrl);
  if (first && after.size === 0 && request.versionInfo !== '') {
    state.resume = request.versionInfo;
  }
}

/** Delta: changes to the subscription, which hold even in a stale request (rule 32). */
export function applyDelta(
  context: SessionContext,
  state: TypeState,
  request: DeltaRequest,
  first: boolean,
): void {
  const { unsubscribe } = request;
  const subscribe = state.onDemand ? onDemand(request.subscribe) : request.subscribe;
  const { subscriptions } = context;
  state.locates ||= subscribe.hasLocator;
  const before = state.subscription;
  const silence = first && subscribe.length === 0 && unsubscribe.length === 0;
  const star = subscribe.hasWildcard;
  const all = silence && !state.onDemand;
  const base = all ? subscriptions.all() : subscriptions.add(before, subscribe);
  state.subscription = subscriptions.remove(base, unsubscribe);
  if (first) {
    begin(context, state, { subscribe, initial: request.initial });
    return;
  }
  // Named again: said again, whether it changed or not (rule 34), or to be absent (rule 39).
  state.owe(star ? withoutStar(subscribe) : subscribe);
  if (star) {
    state.mustAnswer = true;
    if (before.wildcard) {
      // All of it once more; of what is to go it is still known that the client has it.
      if (state.held !== undefined) state.owe(namesHeld(state.held, before));
    } else if (state.subscription.wildcard) {
      // What the wildcard adds is unknown to the client; what it had by name may be gone by now.
      state.owe(subscriptions.namesOf(before));
      state.held = context.empty(state.traits.typeUrl);
    }
  }
  if (state.subscription.wildcard && unsubscribe.length > 0) {
    // The wildcard still covers these (rule 37); what was never named is no concern (rule 35).
    const named = unsubscribe.leaves.filter((leaf) => base.names(leaf)).map((leaf) => leaf.name);
    if (named.length > 0) state.owe(new NameList(named));
  }
}

function begin(
  context: SessionContext,
  state: TypeState,
  request: Pick<DeltaRequest, 'subscribe' | 'initial'>,
): void {
  const { subscribe, initial } = request;
  const holds = initial !== undefined && initial.entries.length > 0;
  if (holds && state.subscription.isEmpty) {
    // ztunnel on demand: it asks for nothing new, and goes on with what it was given before.
    const names = new NameList(initial.entries.map((entry) => entry.name));
    state.subscription = context.subscriptions.add(state.subscription, names);
  }
  const { wildcard } = state.subscription;
  // Nothing is answered too: `*` and not `*` in one request ask for nothing (rule 53).
  state.mustAnswer = (wildcard && !holds) || state.subscription.isEmpty;
  const names = subscribe.hasWildcard ? withoutStar(subscribe) : subscribe;
  if (!holds) {
    state.owe(names);
    if (names.names.some(isCollection)) state.resume = '';
    return;
  }
  state.resumed = true;
  state.said = initial.cost;
  const said = context.heldBy(state.traits.typeUrl, initial);
  const held = state.locates ? context.located.held(said) : said;
  state.held = context.heldFor(held, state.subscription);
  if (state.held !== held) state.resume = '';
  // An equal version need not be sent again (rule 41); other names are owed like any new one.
  state.owe(context.absentIn(held, names));
}

/**
 * A client names a host as the request does, perhaps with a port, which tables do not look at. It
 * waits for an answer to that very name, so both are asked for. Envoy asks for all when it comes
 * back with names, as silence would mean at its first request.
 */
function onDemand(list: NameList): NameList {
  return new NameList(
    list.names.flatMap((name) => {
      if (name === '*') return [];
      const plain = name.replace(/:\d{1,5}$/, '');
      return plain === name ? [name] : [name, plain];
    }),
  );
}

function withoutStar(list: NameList): NameList {
  return new NameList(list.names.filter((name) => name !== '*'));
}
