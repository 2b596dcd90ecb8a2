/**
 * PeerAuthentications: which connections workloads take without mutual TLS, and what of that (and
 * of the users' own policies) is asked of the node's proxy as policies that select a workload.
 */
import type { Query, Reader } from '@watershed/derive/graph.ts';
import { AuthorizationMatch, PeerMode } from '@watershed/model/gen/model.ts';
import type { AuthorizationRule, PeerAuthentication } from '@watershed/model/gen/model.ts';
import type { Inputs, Keyed } from '../inputs.ts';
import { sameData } from './equal.ts';

type Labels = Readonly<Record<string, string>>;

interface Peer extends PeerAuthentication {
  readonly namespace: string;
  readonly name: string;
}

interface Selecting {
  /** `namespace/name` */
  readonly name: string;
  readonly selector: Labels;
}

export interface AuthenticationQueries {
  /** Of a namespace, oldest first. */
  readonly peers: Query<string, readonly Peer[]>;
  /** Of a namespace: the policies that select workloads, without what they say. */
  readonly selecting: Query<string, readonly Selecting[]>;
}

export function createAuthenticationQueries({ graph, indexes }: Inputs): AuthenticationQueries {
  const peers = graph.query<string, readonly Peer[]>({
    name: 'peerAuthentications',
    id: (namespace) => namespace,
    compute: (read, namespace) =>
      read
        .lookup(indexes.peerAuthenticationsByNamespace, namespace)
        .map(({ value }) => ({ ...value.value, namespace, name: value.name }))
        .sort((a, b) => a.createdMs - b.createdMs || (a.name < b.name ? -1 : 1)),
    equal: sameData,
  });
  const selecting = graph.query<string, readonly Selecting[]>({
    name: 'selectingPolicies',
    id: (namespace) => namespace,
    compute: (read, namespace) =>
      read
        .lookup(indexes.authorizationsByNamespace, namespace)
        .filter(({ value }) => Object.keys(value.value.selector).length > 0)
        .map(({ value }) => ({
          name: `${namespace}/${value.name}`,
          selector: value.value.selector,
        })),
    equal: sameData,
  });
  return { peers, selecting };
}

/** Of the core, what is asked here. */
interface Asked {
  readonly authentication: AuthenticationQueries;
}

/** How a workload is to be called. */
interface Authentication {
  readonly mode: PeerMode;
  /** Where they differ from the mode, by the workload's port. */
  readonly ports: Readonly<Record<number, PeerMode>>;
}

const isForAll = ({ selector }: Peer): boolean => Object.keys(selector).length === 0;

function selects(selector: Labels, labels: Labels): boolean {
  return Object.entries(selector).every(([key, value]) => labels[key] === value);
}

interface Place {
  readonly namespace: string;
  readonly labels: Labels;
  readonly rootNamespace: string;
}

/** The oldest that selects the workload, if any; the root namespace's select nothing. */
function ownPeer(core: Asked, read: Reader, place: Place): Peer | undefined {
  const { namespace, rootNamespace, labels } = place;
  if (namespace === rootNamespace) return undefined;
  const peers = read.query(core.authentication.peers, namespace);
  return peers.find((peer) => !isForAll(peer) && selects(peer.selector, labels));
}

/** The mode of those without a selector: the namespace's, or else the mesh's. */
function inheritedMode(core: Asked, read: Reader, place: Omit<Place, 'labels'>): PeerMode {
  for (const namespace of [place.namespace, place.rootNamespace]) {
    const mode = read.query(core.authentication.peers, namespace).find(isForAll)?.mode;
    if (mode !== undefined && mode !== PeerMode.PEER_MODE_UNSET) return mode;
  }
  return PeerMode.PEER_MODE_PERMISSIVE;
}

/** A PeerAuthentication of a workload with what it leaves open; each level may leave it to the next. */
function resolve(peer: PeerAuthentication | undefined, inherited: PeerMode): Authentication {
  const own = peer?.mode ?? PeerMode.PEER_MODE_UNSET;
  const mode = own === PeerMode.PEER_MODE_UNSET ? inherited : own;
  const ports = Object.entries(peer?.ports ?? {}).filter(
    ([, port]) => port !== PeerMode.PEER_MODE_UNSET && port !== mode,
  );
  return { mode, ports: Object.fromEntries(ports) };
}

export function authenticationOf(core: Asked, read: Reader, place: Place): Authentication {
  return resolve(ownPeer(core, read, place), inheritedMode(core, read, place));
}

/** Names of the policies that a workload has because they select it (istiod's for ztunnel). */
export function selectedBy(core: Asked, read: Reader, place: Place): readonly string[] {
  const { namespace, rootNamespace, labels } = place;
  const names = [...new Set([namespace, rootNamespace])]
    .flatMap((one) => read.query(core.authentication.selecting, one))
    .filter(({ selector }) => selects(selector, labels))
    .map(({ name }) => name);
  const peer = ownPeer(core, read, place);
  const known = resolve(peer, inheritedMode(core, read, place));
  const rules = rulesOf(known);
  const sorted = [...new Set(names)].sort();
  if (peer !== undefined && rules !== undefined) {
    return [...sorted, `${namespace}/${convertedName(peer.name)}`];
  }
  const isStrict = known.mode === PeerMode.PEER_MODE_STRICT;
  return isStrict ? [...sorted, `${rootNamespace}/${plainTextRules.name}`] : sorted;
}

/** No name of Kubernetes has an underscore. */
function convertedName(name: string): string {
  return `converted_peer_authentication_${name}`;
}

const blank = AuthorizationMatch.create();
const anonymous = { ...blank, notPrincipals: ['*'] };

/** What STRICT denies: connections without an identity. One for all, there while any may need it. */
export const plainTextRules: {
  readonly name: string;
  readonly rules: AuthorizationRule[];
} = {
  name: 'istio_converted_static_strict',
  rules: [{ clauses: [{ matches: [anonymous] }] }],
};

/** What modes of single ports deny; `undefined`: nothing that the mode does not say for all. */
function rulesOf({ mode, ports }: Authentication): AuthorizationRule[] | undefined {
  const numbers = Object.entries(ports).map(([port, own]) => [Number(port), own] as const);
  if (mode === PeerMode.PEER_MODE_STRICT) {
    const open = numbers.map(([port]) => ({ ...blank, notDestinationPorts: [port] }));
    if (open.length === 0) return undefined;
    return [{ clauses: [anonymous, ...open].map((match) => ({ matches: [match] })) }];
  }
  const strict = numbers.filter(([, own]) => own === PeerMode.PEER_MODE_STRICT);
  if (strict.length === 0) return undefined;
  return strict.map(([port]) => ({
    clauses: [{ matches: [{ ...anonymous, destinationPorts: [port] }] }],
  }));
}

/** A PeerAuthentication as a policy, where its ports differ; `undefined`: it is none. */
export function convertedRules(
  core: Asked,
  read: Reader,
  { namespace, name, value }: Keyed<PeerAuthentication>,
  rootNamespace: string,
): { name: string; namespace: string; rules: AuthorizationRule[] } | undefined {
  if (namespace === rootNamespace || Object.keys(value.selector).length === 0) return undefined;
  const inherited = inheritedMode(core, read, { namespace, rootNamespace });
  const rules = rulesOf(resolve(value, inherited));
  return rules && { name: convertedName(name), namespace, rules };
}
