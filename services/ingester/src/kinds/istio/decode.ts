/**
 * Decoding of Istio's objects: the types of its API read strictly (every unknown field, wrong type
 * and doubly set oneof with its path), then the kind's own checks.
 */
import { decodeStrict } from '@watershed/proto/strict-json.ts';
import { identityOf } from '../../core/metadata.ts';
import type { At } from '../../decode.ts';
import { decode, isServed } from '../../decode.ts';
import type { Decoded, Problem, RawObject, SourceSettings } from '../../kind.ts';

/** Istio's group, newest version first; all mean the same. */
export const apiVersions = [
  'networking.istio.io/v1',
  'networking.istio.io/v1beta1',
  'networking.istio.io/v1alpha3',
] as const;

/** The group of who may call whom. */
export const securityVersions = ['security.istio.io/v1', 'security.istio.io/v1beta1'] as const;

/** What a check may know beside the spec. */
export interface CheckContext {
  readonly name: string;
  readonly namespace: string;
  readonly domain: string;
  /** The object itself: what is wrong outside of its spec. */
  readonly object: At;
}

export interface IstioType<T> {
  /** `istio.networking.v1alpha3.VirtualService` */
  readonly typeName: string;
  readonly codec: { readonly fromJSON: (json: unknown) => T };
  readonly check: (spec: T, at: At, context: CheckContext) => void;
}

/** A decoder of a kind whose spec is a message of Istio's API. */
export function istioDecoder<T>(
  type: IstioType<T>,
): (raw: RawObject, settings: SourceSettings) => Decoded<T> {
  return (raw, settings) => {
    const unknown: Problem['severity'] = isServed(raw) ? 'warning' : 'error';
    const strict = decodeStrict(type.typeName, raw['spec'] ?? {}, { path: 'spec' });
    const problems = strict.problems.map(({ kind, path, value, reason }): Problem => {
      return { severity: kind === 'unknown' ? unknown : 'error', field: path, value, reason };
    });
    if (strict.message === undefined) return { problems };
    const spec = type.codec.fromJSON(strict.message);
    const context = { ...identityOf(raw, true), domain: settings.domain };
    const checked = decode(
      (value, at) => {
        type.check(spec, at.field('spec'), { ...context, object: at });
        return value;
      },
      spec,
      { path: '' },
    );
    const all = [...problems, ...checked.problems];
    return all.some(({ severity }) => severity === 'error')
      ? { problems: all }
      : { spec, problems: all };
  };
}
