import { OperatingError } from '@watershed/runtime/errors.ts';

/** Where an issuer's public keys are. */
export type KeyPlace =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'url'; readonly url: string }
  | { readonly kind: 'text'; readonly text: string };

/** Whose tokens are taken, and for whom they must have been made. */
export interface TokenRule {
  readonly issuer: string;
  readonly audiences: readonly string[];
  readonly keys: KeyPlace;
}

/** `text`: a path or an https URL. */
export function keyPlace(text: string): KeyPlace {
  return text.startsWith('https://') ? { kind: 'url', url: text } : { kind: 'file', path: text };
}

/**
 * Istio's JWTRule, what of it istiod reads from `JWT_RULE`.
 *
 * @throws OperatingError `invalid`, which quotes no value.
 */
export function parseJwtRule(text: string, defaultAudiences: readonly string[]): TokenRule {
  const rule = recordOf(text);
  const issuer = textOf(rule, 'issuer');
  if (issuer === undefined) throw new OperatingError('invalid', 'issuer is missing');
  const url = textOf(rule, 'jwksUri') ?? textOf(rule, 'jwks_uri');
  const inline = textOf(rule, 'jwks');
  if (url !== undefined && !url.startsWith('https://')) {
    throw new OperatingError('invalid', 'jwksUri must be https');
  }
  if ((url === undefined) === (inline === undefined)) {
    throw new OperatingError('invalid', 'one of jwksUri and jwks is needed');
  }
  const { audiences = defaultAudiences } = rule;
  if (!isTexts(audiences) || audiences.length === 0) {
    throw new OperatingError('invalid', 'audiences is not a list of texts');
  }
  const keys: KeyPlace =
    url === undefined ? { kind: 'text', text: inline ?? '' } : { kind: 'url', url };
  return { issuer, audiences, keys };
}

function recordOf(text: string): Readonly<Record<string, unknown>> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    parsed = undefined;
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new OperatingError('invalid', 'not a JSON object');
  }
  return { ...parsed };
}

function textOf(rule: Readonly<Record<string, unknown>>, name: string): string | undefined {
  const value = rule[name];
  if (value === undefined || value === '') return undefined;
  if (typeof value !== 'string') throw new OperatingError('invalid', `${name} is not a text`);
  return value;
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'string');
}
