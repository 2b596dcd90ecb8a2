/** Who a workload is, of which a certificate or a token is the proof. */
export interface Identity {
  readonly namespace: string;
  readonly serviceAccount: string;
  /** Of a token that is bound to one Pod; empty: any of the account's. */
  readonly pod: string;
}

const maxId = 2_048;
const form = /^spiffe:\/\/([a-z0-9._-]{1,255})\/ns\/([a-z0-9-]{1,63})\/sa\/([a-z0-9.-]{1,253})$/u;

/**
 * Reads istio's form of a SPIFFE id, `spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/ACCOUNT`; `undefined`:
 * it has another form, or is of a trust domain that is not one of these.
 */
export function parseSpiffeId(id: string, trustDomains: readonly string[]): Identity | undefined {
  if (id.length > maxId) return undefined;
  const [, trustDomain = '', namespace = '', serviceAccount = ''] = form.exec(id) ?? [];
  if (!trustDomains.includes(trustDomain)) return undefined;
  return { namespace, serviceAccount, pod: '' };
}
