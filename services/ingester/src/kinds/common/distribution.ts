import { Distribution } from '@watershed/model/gen/model.ts';

const annotation = 'networking.istio.io/traffic-distribution';

const known: Readonly<Record<string, Distribution>> = {
  PreferClose: Distribution.DISTRIBUTION_SAME_ZONE,
  PreferSameZone: Distribution.DISTRIBUTION_SAME_ZONE,
  PreferSameNode: Distribution.DISTRIBUTION_SAME_NODE,
};

/** Why a word says nothing; undefined if it says something. */
export function distributionProblem(word: string): string | undefined {
  if (word === '' || Object.hasOwn(known, word)) return undefined;
  return `must be ${Object.keys(known).join(', ')}: endpoints of all zones are taken`;
}

/**
 * Where endpoints are looked for first: what the Service says, else its annotation. As in istiod, a
 * word that is not known is no preference.
 */
export function distributionOf(
  word: string,
  annotations: Readonly<Record<string, string>>,
): Distribution {
  const said = word || (annotations[annotation] ?? '');
  return Object.hasOwn(known, said)
    ? (known[said] ?? Distribution.DISTRIBUTION_ANY)
    : Distribution.DISTRIBUTION_ANY;
}
