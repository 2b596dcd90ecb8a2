/**
 * The one place that decides what a client may claim to be. Every RPC that serves what depends on a
 * node gets its `ProxyNode` here, of each of its messages, and nowhere else; `server/guard.ts`
 * gives every row of the table of services its `Caller`, so a new row cannot miss it.
 */
import { digestOf } from '@watershed/blob/digest.ts';
import { ProxyType } from '@watershed/model/gen/record.ts';
import { OperatingError } from '@watershed/runtime/errors.ts';
import { parseNode, type ProxyNode } from '../node-scope.ts';
import type { Identity } from './spiffe.ts';

/** How far a client's word goes. */
export type Trust =
  /** Its certificate or token was verified: its node must be what they say. */
  | 'verified'
  /**
   * A process of this machine, in plaintext: nothing goes over a wire, and who can connect can read
   * this process's files as well.
   */
  | 'local'
  /** It showed nothing, on a listener that was opened to such clients: it gets no secrets. */
  | 'anonymous';

/** What identities may do beyond being themselves. */
export interface Policy {
  /** `NAMESPACE/ACCOUNT` that may be a router; empty: any account, in its own namespace. */
  readonly gatewayAccounts: ReadonlySet<string>;
  /** `NAMESPACE/ACCOUNT` that may be a ztunnel, which is told of all namespaces' workloads. */
  readonly nodeAccounts: ReadonlySet<string>;
  /** Namespaces whose accounts may see what is served to others. */
  readonly operatorNamespaces: ReadonlySet<string>;
}

export interface CallerOptions {
  readonly trust: Trust;
  /** Of a verified client: at least one. */
  readonly identities: readonly Identity[];
  readonly policy: Policy;
  /** A claim was refused. */
  readonly onDenied: (message: string) => void;
}

/** The client of one RPC. */
export class Caller {
  readonly #options: CallerOptions;
  #node: ProxyNode | undefined;
  /** Of the node as it was sent again; Envoy's can be 60 KB. */
  #digest = '';

  constructor(options: CallerOptions) {
    this.#options = options;
  }

  /** Whether it may have the secrets of the scope of what `claim` gave. */
  get mayHaveSecrets(): boolean {
    return this.#options.trust !== 'anonymous';
  }

  /** Who it is was verified. */
  get verified(): boolean {
    return this.#options.trust === 'verified';
  }

  /** Whether it may see what is served to others. */
  get mayOperate(): boolean {
    const { trust, identities, policy } = this.#options;
    if (trust !== 'verified') return trust === 'local';
    return identities.some(({ namespace }) => policy.operatorNamespaces.has(namespace));
  }

  /**
   * Asks for what is served to others, whichever node its message names. As that may be the
   * stream's first, its node is kept for those that name none (rule 2), if it may be claimed.
   *
   * @throws OperatingError `denied`: it may not see what is served to others.
   */
  operate(named: Uint8Array | undefined): void {
    if (!this.mayOperate) {
      this.#deny(`${this.account || 'an anonymous client'} may not see others' state`);
    }
    if (named !== undefined) this.#node ??= this.#claimable(named);
  }

  /** For people: `shop/web`; empty where nothing was verified. */
  get account(): string {
    return this.#options.identities.map(accountOf).join(', ');
  }

  /**
   * The node of a message, `undefined` where it names none. Only the first must (rule 2); a later
   * one must not name another.
   *
   * @throws OperatingError `denied`: it is more than the client's identity; `invalid`: it is
   *   malformed, or another than before.
   */
  claim(bytes: Uint8Array | undefined): ProxyNode {
    const known = this.#node;
    if (bytes === undefined) {
      if (known !== undefined) return known;
      throw new OperatingError('invalid', 'node: missing in the first request of the stream');
    }
    // Most name it once.
    const digest = known === undefined ? '' : digestOf(bytes);
    if (known !== undefined && digest === this.#digest) return known;
    const node = parseNode(bytes);
    const excess = this.#excessOf(node);
    if (excess !== undefined) this.#deny(excess);
    this.#digest = digest;
    if (known === undefined) return (this.#node = node);
    if (!isSame(known, node)) {
      throw new OperatingError('invalid', `the stream is of node ${known.id}, not of ${node.id}`);
    }
    return known;
  }

  /** `undefined`: it is malformed, or more than the client's identity. */
  #claimable(bytes: Uint8Array): ProxyNode | undefined {
    try {
      const node = parseNode(bytes);
      return this.#excessOf(node) === undefined ? node : undefined;
    } catch {
      return undefined;
    }
  }

  /** What of it is more than the client's identity, for people. */
  #excessOf(node: ProxyNode): string | undefined {
    const { trust, identities, policy } = this.#options;
    if (trust !== 'verified') return undefined;
    const own = identities.find((identity) => isOf(node, identity));
    if (own === undefined) {
      const { namespace, serviceAccount, pod } = node;
      const claim = `${pod} of ${namespace}/${serviceAccount || '*'}`;
      return `node ${node.id} claims to be ${claim}, the client is ${this.account}`;
    }
    const account = accountOf(own);
    const { gatewayAccounts, nodeAccounts } = policy;
    if (node.type === ProxyType.PROXY_TYPE_ROUTER) {
      const may = gatewayAccounts.size === 0 || gatewayAccounts.has(account);
      if (!may) return `node ${node.id} claims to be a router, which ${account} may not be`;
    }
    if (node.type === ProxyType.PROXY_TYPE_ZTUNNEL && !nodeAccounts.has(account)) {
      return `node ${node.id} claims to be a ztunnel, which ${account} may not be`;
    }
    return undefined;
  }

  #deny(message: string): never {
    this.#options.onDenied(message);
    throw new OperatingError('denied', message);
  }
}

/** The namespace is said twice, in the id and in the metadata; both must be the identity's. */
function isOf(node: ProxyNode, { namespace, serviceAccount, pod }: Identity): boolean {
  return (
    node.namespace === namespace &&
    node.podNamespace === namespace &&
    (node.serviceAccount === '' || node.serviceAccount === serviceAccount) &&
    (pod === '' || node.pod === pod)
  );
}

function isSame(a: ProxyNode, b: ProxyNode): boolean {
  return a.id === b.id && a.namespace === b.namespace && a.serviceAccount === b.serviceAccount;
}

function accountOf({ namespace, serviceAccount }: Identity): string {
  return `${namespace}/${serviceAccount}`;
}
