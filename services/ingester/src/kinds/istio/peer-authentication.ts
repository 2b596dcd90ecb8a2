/** PeerAuthentications: whether workloads take connections without mutual TLS. */
import { isDeepStrictEqual } from 'node:util';
import type { Reader } from '@watershed/derive/graph.ts';
import { PeerAuthentication as Model, PeerMode } from '@watershed/model/gen/model.ts';
import { configKey } from '@watershed/model/keys.ts';
import {
  PeerAuthentication,
  PeerAuthentication_MutualTLS_Mode as Mode,
  type PeerAuthentication_MutualTLS,
} from '@watershed/proto/istio/security/v1beta1/peer_authentication.ts';
import type { At } from '../../decode.ts';
import type { Emission, Kind, Problem, SourceObject, World } from '../../kind.ts';
import { checkPort, checkWorkloadLabels } from '../common/checks.ts';
import { firstBefore, whyFirst } from '../common/precedence.ts';
import { istioDecoder, securityVersions } from './decode.ts';

const blank = Model.create();

const modes: Readonly<Record<Mode, PeerMode>> = {
  [Mode.UNSET]: PeerMode.PEER_MODE_UNSET,
  [Mode.DISABLE]: PeerMode.PEER_MODE_DISABLE,
  [Mode.PERMISSIVE]: PeerMode.PEER_MODE_PERMISSIVE,
  [Mode.STRICT]: PeerMode.PEER_MODE_STRICT,
  [Mode.UNRECOGNIZED]: PeerMode.PEER_MODE_UNSET,
};

export const peerAuthenticationKind: Kind<PeerAuthentication> = {
  apiVersions: securityVersions,
  kind: 'PeerAuthentication',
  namespaced: true,
  decode: istioDecoder({
    typeName: 'istio.security.v1beta1.PeerAuthentication',
    codec: PeerAuthentication,
    check,
  }),
  emit,
};

function check(spec: PeerAuthentication, at: At): void {
  const labels = spec.selector?.matchLabels;
  if (labels !== undefined) {
    const whole = 'every workload of the namespace';
    checkWorkloadLabels(at.field('selector').field('matchLabels'), labels, whole);
  }
  const ports = Object.keys(spec.portLevelMtls);
  const here = at.field('portLevelMtls');
  if (Object.keys(labels ?? {}).length === 0 && ports.length > 0) {
    here.error(spec.portLevelMtls, 'must not be set without a selector');
  }
  for (const port of ports) checkPort(here.field(port), Number(port));
  checkMode(spec.mtls, at.field('mtls'));
  for (const [port, mtls] of Object.entries(spec.portLevelMtls)) {
    checkMode(mtls, here.field(port));
  }
}

function checkMode(mtls: PeerAuthentication_MutualTLS | undefined, at: At): void {
  if (mtls?.mode !== Mode.DISABLE) return;
  at.field('mode').warn('DISABLE', 'is PERMISSIVE here: mutual TLS is taken as well');
}

function emit(read: Reader, world: World, object: SourceObject<PeerAuthentication>): Emission {
  const { spec, ref, createdMs } = object;
  const { namespace, name } = ref;
  const ports = Object.entries(spec.portLevelMtls).map(
    ([port, { mode }]) => [Number(port), modes[mode]] as const,
  );
  const value: Model = {
    ...blank,
    selector: spec.selector?.matchLabels ?? {},
    mode: modes[spec.mtls?.mode ?? Mode.UNSET],
    ports: Object.fromEntries(ports),
    createdMs,
  };
  const { cluster } = world.settings;
  const key = configKey({ cluster, kind: 'peerAuthentication', namespace, name });
  const event = { object: { $case: 'peerAuthentication', value } } as const;
  return { events: [{ topic: 'config', key, event }], problems: lost(read, world, object) };
}

/** Of those for the same workloads the oldest holds; the root namespace's select none. */
function lost(
  read: Reader,
  world: World,
  object: SourceObject<PeerAuthentication>,
): readonly Problem[] {
  const { namespace } = object.ref;
  const own = selectorOf(object);
  const tell = (field: string, reason: string): readonly Problem[] => {
    return [{ severity: 'warning', field, value: '', reason }];
  };
  if (namespace === world.settings.rootNamespace && Object.keys(own).length > 0) {
    return tell('spec.selector', `selects nothing: ${namespace} is the root namespace`);
  }
  const all = read.lookup(world.index(peerAuthenticationKind, 'namespace'), namespace);
  const first = firstBefore(object, all, (other) => isDeepStrictEqual(selectorOf(other), own));
  if (first === undefined) return [];
  const why = whyFirst(first, object);
  const reason = `has no effect: PeerAuthentication ${namespace}/${first.ref.name} is for the same workloads, and goes first (${why})`;
  return tell('spec', reason);
}

function selectorOf({ spec }: SourceObject<PeerAuthentication>): Readonly<Record<string, string>> {
  return spec.selector?.matchLabels ?? {};
}
