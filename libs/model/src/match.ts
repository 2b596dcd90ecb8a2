import type { Match } from './gen/model.ts';

type Asked = Pick<Match, 'path' | 'scheme' | 'method' | 'authority'> & {
  readonly headers: readonly unknown[];
  readonly queryParams: readonly unknown[];
};

/**
 * Whether a match takes every request that is held against it: what stands behind it is never
 * tried. For whom it is (port, gateways, source) is another question.
 */
export function takesAll(match: Asked): boolean {
  const { scheme, method, authority, headers, queryParams } = match;
  const pseudo = [scheme, method, authority];
  return (
    isAnyPath(match) &&
    pseudo.every((one) => one === undefined) &&
    headers.length === 0 &&
    queryParams.length === 0
  );
}

function isAnyPath({ path }: Asked): boolean {
  const match = path?.match;
  switch (match?.$case) {
    case 'prefix':
    case 'pathPrefix':
      return match.value === '/' || match.value === '';
    case 'regex':
      return match.value === '.*';
    case 'exact':
      return false;
    default:
      return true;
  }
}
