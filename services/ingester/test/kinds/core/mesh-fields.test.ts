/** Every field of MeshConfig is either read, or told of as one that has no effect. */
import { Mesh } from '@watershed/model/gen/model.ts';
import { istioRegistry } from '@watershed/proto/istio-descriptors.ts';
import { describe, expect, it } from 'vitest';
import { decodeMesh, meshEvent } from '../../../src/kinds/core/mesh-spec.ts';

const settings = {
  cluster: 'one',
  domain: 'cluster.local',
  rootNamespace: 'istio-system',
  ambient: false,
};

/** Without these, the fields beside them say nothing. */
const beside: Readonly<Record<string, object>> = { defaultHttpRetryPolicy: { attempts: 3 } };

type DescMessage = NonNullable<ReturnType<typeof istioRegistry.getMessage>>;
type DescField = DescMessage['fields'][number];

/** Something for every type; what is wrong for a field is not taken. */
const anything = ['text', 7, true, false, '7s', {}, { key: 'text' }, [{}], ['text']];

function samplesOf(field: DescField): readonly unknown[] {
  const names = field.fieldKind === 'enum' ? field.enum.values.map(({ name }) => name) : [];
  return [...anything, ...names];
}

interface Row {
  readonly path: string;
  readonly samples: readonly Sample[];
}

type Sample = readonly [before: object, after: object];

/** Messages that are values. */
const values = /^google\.protobuf\.(?:Duration|\w+Value)$/u;

/** Fields, and those of messages that are fields. */
function rows(desc: DescMessage): readonly Row[] {
  return desc.fields.flatMap((field): Row[] => {
    const name = field.jsonName;
    if (field.fieldKind !== 'message' || values.test(field.message.typeName)) {
      const samples = samplesOf(field).map((value): Sample => [{}, { [name]: value }]);
      return [{ path: name, samples: samples.filter(isTaken) }];
    }
    const around = beside[name] ?? {};
    return field.message.fields.map((inner) => {
      const samples = samplesOf(inner).map((value): Sample => [
        { [name]: around },
        { [name]: { ...around, [inner.jsonName]: value } },
      ]);
      return { path: `${name}.${inner.jsonName}`, samples: samples.filter(isTaken) };
    });
  });
}

function isTaken([, after]: Sample): boolean {
  return decodeMesh(after, '').spec !== undefined;
}

function eventOf(mesh: object): string {
  const { spec, problems } = decodeMesh(mesh, '');
  if (spec === undefined) throw new Error(JSON.stringify({ mesh, problems }));
  return Buffer.from(Mesh.encode(meshEvent(spec, settings)).finish()).toString('hex');
}

const desc = istioRegistry.getMessage('istio.mesh.v1alpha1.MeshConfig');
const all = desc === undefined ? [] : rows(desc);
/** Read where the sources are made, once. */
const elsewhere = new Set(['configSources']);

describe('a field of MeshConfig', () => {
  it.each(all.map((row) => [row.path, row] as const))(
    '%s changes what is published, or is told of',
    (path, row) => {
      expect(row.samples).not.toEqual([]);
      const isRead = row.samples.some(([before, after]) => eventOf(before) !== eventOf(after));
      const told = row.samples.flatMap(([, after]) =>
        decodeMesh(after, '').problems.map(({ severity, field }) => `${severity} ${field}`),
      );
      if (isRead || elsewhere.has(path)) expect(told).toEqual([]);
      else expect(told).toContain(`warning ${path}`);
    },
  );
});
