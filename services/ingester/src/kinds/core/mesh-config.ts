/**
 * Istio's MeshConfig: the mesh's settings, one event per cluster.
 *
 * They are written in a file of their own (`--meshConfig`) or, as in Kubernetes, in the ConfigMap
 * `istio` of the root namespace. The file wins. Where there is neither, there are istiod's
 * defaults: the core always has an object `defaults`, so that every cluster has its event.
 */
import type { Reader } from '@watershed/derive/graph.ts';
import { configKey } from '@watershed/model/keys.ts';
import { identityOf } from '../../core/metadata.ts';
import { isObject, show } from '../../decode.ts';
import type {
  Decoded,
  Emission,
  Kind,
  Problem,
  RawObject,
  SourceSettings,
  World,
} from '../../kind.ts';
import { parseChunk } from '../../parse/documents.ts';
import { configSourcesOf } from './config-sources.ts';
import { decodeMesh, meshEvent, type MeshSpec } from './mesh-spec.ts';

const apiVersion = 'mesh.istio.io/v1alpha1';

/** Names of the objects: what a file says, and what holds without one. */
export const meshNames = { file: 'file', defaults: 'defaults' } as const;

/** The ConfigMap that Istio's installation makes, and its entry. */
const configMapName = 'istio';
const meshEntry = 'mesh';

export const meshConfigKind: Kind<MeshSpec> = {
  apiVersions: [apiVersion],
  kind: 'MeshConfig',
  namespaced: false,
  decode: decodeMeshFile,
  emit: (read, world, object) =>
    object.ref.name === meshNames.defaults && writtenMesh(read, world) !== undefined
      ? { events: [], problems: [] }
      : meshEmission(world, object.spec),
};

/** Of all ConfigMaps, one is read; the others are nobody's here. */
export interface ConfigMapSpec {
  readonly mesh?: MeshSpec;
}

export const configMapKind: Kind<ConfigMapSpec> = {
  apiVersions: ['v1'],
  kind: 'ConfigMap',
  namespaced: true,
  partRead: ({ apiVersion: version, kind, metadata, data }) => {
    const mesh = isObject(data) ? data[meshEntry] : undefined;
    return { apiVersion: version, kind, metadata, data: { [meshEntry]: mesh } };
  },
  decode: decodeConfigMap,
  emit: (read, world, { spec }) =>
    spec.mesh === undefined || meshOfFile(read, world) !== undefined
      ? { events: [], problems: [] }
      : meshEmission(world, spec.mesh),
};

/** An object of the kind MeshConfig. */
export function decodeMeshFile({ spec: written = {} }: RawObject): Decoded<MeshSpec> {
  const { spec, problems } = decodeMesh(written, '');
  const found = configSourcesOf(written).problems;
  return found.length > 0 || spec === undefined
    ? { problems: [...problems, ...found] }
    : { spec, problems };
}

/** A MeshConfig as an object of its own kind, from the plain YAML that users write. */
export function meshConfigObject(name: string, spec: unknown): RawObject {
  return { apiVersion, kind: 'MeshConfig', metadata: { name }, spec };
}

/** The settings that hold; undefined before anything is known of them. */
export function currentMesh(read: Reader, world: World): MeshSpec | undefined {
  const defaults = read.get(world.objects(meshConfigKind), `/${meshNames.defaults}`);
  return writtenMesh(read, world) ?? defaults?.spec;
}

function writtenMesh(read: Reader, world: World): MeshSpec | undefined {
  const { rootNamespace } = world.settings;
  const configMap = read.get(world.objects(configMapKind), `${rootNamespace}/${configMapName}`);
  return meshOfFile(read, world) ?? configMap?.spec.mesh;
}

function meshOfFile(read: Reader, world: World): MeshSpec | undefined {
  return read.get(world.objects(meshConfigKind), `/${meshNames.file}`)?.spec;
}

function meshEmission(world: World, spec: MeshSpec): Emission {
  const { cluster } = world.settings;
  const key = configKey({ cluster, kind: 'mesh', namespace: '', name: 'default' });
  const event = { object: { $case: 'mesh', value: meshEvent(spec, world.settings) } } as const;
  return { events: [{ topic: 'config', key, event }], problems: [] };
}

function decodeConfigMap(raw: RawObject, settings: SourceSettings): Decoded<ConfigMapSpec> {
  const { namespace, name } = identityOf(raw, true);
  const data = raw['data'];
  const mesh = isObject(data) ? data[meshEntry] : undefined;
  if (name !== configMapName || namespace !== settings.rootNamespace || mesh === undefined) {
    return { spec: {}, problems: [] };
  }
  const field = `data.${meshEntry}`;
  const refused = (value: string, reason: string): Decoded<ConfigMapSpec> => {
    const problem: Problem = { severity: 'error', field, value, reason };
    return { problems: [problem] };
  };
  if (typeof mesh !== 'string') return refused('', 'must be a string that holds YAML');
  const { documents, problems } = parseChunk(mesh);
  const [trouble] = problems;
  if (trouble !== undefined) return refused(`line ${trouble.line + 1}`, trouble.reason);
  const decoded = decodeMesh(documents[0]?.value ?? {}, field);
  if (decoded.spec === undefined) return { problems: decoded.problems };
  const named = decoded.spec.configSources;
  const reason = 'has no effect here: it is read of a file (--meshConfig)';
  const value = show(named);
  const at = { severity: 'warning', field: `${field}.configSources`, value, reason } as const;
  const ofSources = named.length === 0 ? [] : [at];
  return { spec: { mesh: decoded.spec }, problems: [...decoded.problems, ...ofSources] };
}
