import { configKey } from '@watershed/model/keys.ts';
import { decode, object, defaulted, anything } from '../../decode.ts';
import type { Emission, Kind, SourceObject, World } from '../../kind.ts';

/** Nothing of a Namespace is read but its metadata. */
export interface NamespaceSpec {
  readonly empty: true;
}

/** The API server puts the name there; an event has it in its key. */
const nameLabel = 'kubernetes.io/metadata.name';

const namespaceDecoder = object(
  { metadata: defaulted(anything, {}), spec: defaulted(anything, {}) },
  ['apiVersion', 'kind', 'status'],
);

export const namespaceKind: Kind<NamespaceSpec> = {
  apiVersions: ['v1'],
  kind: 'Namespace',
  namespaced: false,
  decode: (raw) => {
    const { spec, problems } = decode(namespaceDecoder, raw, { path: '' });
    return spec === undefined ? { problems } : { spec: { empty: true }, problems };
  },
  emit: (_read, world, object) => emit(world, object),
};

function emit(world: World, { ref, labels }: SourceObject<NamespaceSpec>): Emission {
  const { [nameLabel]: _name, ...others } = labels;
  const key = configKey({
    cluster: world.settings.cluster,
    kind: 'namespace',
    namespace: '',
    name: ref.name,
  });
  const event = { object: { $case: 'namespace', value: { labels: others } } } as const;
  return { events: [{ topic: 'config', key, event }], problems: [] };
}
