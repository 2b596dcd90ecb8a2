/** The Gateway's own form: what its CRD (v1, standard and experimental) accepts. */
import {
  anything,
  defaulted,
  invalid,
  list,
  map,
  object,
  oneOf,
  optional,
  refine,
  required,
  text,
} from '../../decode.ts';
import type { At, Decoder, Invalid } from '../../decode.ts';
import type { LabelSelector } from '../common/labels.ts';
import {
  anyReference,
  group,
  groupName,
  hostname,
  kindName,
  labelSelector,
  objectName,
  port,
  secretReference,
  sectionName,
  unique,
} from './fields.ts';
import type { ObjectReference } from './fields.ts';

export interface GatewaySpec {
  readonly gatewayClassName: string;
  readonly listeners: readonly Listener[];
  readonly addresses: readonly Address[];
  /** By port; port 0: the default. Clients' certificates are asked for. */
  readonly frontend: readonly Frontend[];
}

export interface Listener {
  readonly name: string;
  readonly hostname: string | undefined;
  readonly port: number;
  readonly protocol: string;
  readonly tls: ListenerTls | undefined;
  readonly allowedRoutes: AllowedRoutes;
}

export interface ListenerTls {
  readonly mode: 'Terminate' | 'Passthrough';
  readonly certificateRefs: readonly ObjectReference[];
  readonly options: Readonly<Record<string, string>>;
}

export interface AllowedRoutes {
  readonly from: 'All' | 'Selector' | 'Same';
  readonly selector: LabelSelector | undefined;
  readonly kinds: readonly { readonly group: string; readonly kind: string }[];
}

export interface Address {
  readonly type: string;
  readonly value: string;
}

export interface Frontend {
  readonly port: number;
  readonly mode: 'AllowValidOnly' | 'AllowInsecureFallback';
  readonly caCertificateRefs: readonly ObjectReference[];
}

const sameNamespace: AllowedRoutes = { from: 'Same', selector: undefined, kinds: [] };

const allowedRoutes: Decoder<AllowedRoutes> = refine(
  object({
    namespaces: defaulted(
      object({
        from: defaulted(oneOf('All', 'Selector', 'Same'), 'Same'),
        selector: optional(labelSelector),
      }),
      { from: 'Same', selector: undefined },
    ),
    kinds: defaulted(
      list(object({ group: defaulted(groupName, group), kind: required(kindName) }), { max: 8 }),
      [],
    ),
  }),
  ({ namespaces, kinds }, at) => {
    const { from, selector } = namespaces;
    const field = at.field('namespaces').field('selector');
    if (from === 'Selector' && selector === undefined) {
      return field.error(undefined, 'is required where from is Selector');
    }
    if (from !== 'Selector' && selector !== undefined) {
      field.warn(selector, `has no effect where from is ${from}`);
    }
    return { from, selector: from === 'Selector' ? selector : undefined, kinds };
  },
);

const listenerTls: Decoder<ListenerTls> = refine(
  object({
    mode: defaulted(oneOf('Terminate', 'Passthrough'), 'Terminate'),
    certificateRefs: defaulted(list(secretReference, { max: 64 }), []),
    options: defaulted(map(text({ max: 4096 }), { max: 16 }), {}),
  }),
  (tls, at) => {
    if (tls.mode === 'Passthrough') return { ...tls, certificateRefs: [] };
    const given = tls.certificateRefs.length + Object.keys(tls.options).length;
    return given > 0
      ? tls
      : at.field('certificateRefs').error(undefined, 'is required to Terminate');
  },
);

const protocol = text({
  min: 1,
  max: 255,
  pattern:
    /^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9]+$/u,
  reason: 'must be HTTP, HTTPS, TLS, TCP, UDP or a protocol with a domain',
});

const listener: Decoder<Listener> = refine(
  object({
    name: required(sectionName),
    hostname: optional(hostname),
    port: required(port),
    protocol: required(protocol),
    tls: optional(listenerTls),
    allowedRoutes: defaulted(allowedRoutes, sameNamespace),
  }),
  checkListener,
);

/** The CRD's rules over a listener's fields. */
function checkListener(value: Listener, at: At): Listener | Invalid {
  const { protocol: name, tls } = value;
  let failed = false;
  const refuse = (field: string, shown: unknown, reason: string): void => {
    at.field(field).error(shown, reason);
    failed = true;
  };
  if ((name === 'HTTP' || name === 'TCP' || name === 'UDP') && tls !== undefined) {
    refuse('tls', tls, `must not be set for protocol ${name}`);
  }
  if (name === 'HTTPS' && tls !== undefined && tls.mode !== 'Terminate') {
    refuse('tls', tls.mode, 'must have mode Terminate for protocol HTTPS');
  }
  if (name === 'TLS' && tls === undefined) refuse('tls', undefined, 'is required for protocol TLS');
  if (name === 'HTTPS' && tls === undefined) {
    refuse('tls', undefined, 'is required for protocol HTTPS');
  }
  if ((name === 'TCP' || name === 'UDP') && value.hostname !== undefined) {
    refuse('hostname', value.hostname, `must not be set for protocol ${name}`);
  }
  return failed ? invalid : value;
}

const listeners: Decoder<readonly Listener[]> = refine(
  unique(list(listener, { min: 1, max: 64 }), ({ name }) => name, 'name'),
  (values, at) => {
    const seen = new Map<string, string>();
    for (const [index, value] of values.entries()) {
      const key = `${value.port}|${value.protocol}|${value.hostname ?? ''}`;
      const other = seen.get(key);
      if (other !== undefined) {
        const reason = `has the port, protocol and hostname of listener ${other}`;
        return at.item(index).error(value.name, reason);
      }
      seen.set(key, value.name);
    }
    return values;
  },
);

const address: Decoder<Address> = object({
  type: defaulted(text({ min: 1, max: 253 }), 'IPAddress'),
  value: defaulted(text({ max: 253 }), ''),
});

const validation = object({
  caCertificateRefs: required(list(anyReference, { min: 1, max: 16 })),
  mode: defaulted(oneOf('AllowValidOnly', 'AllowInsecureFallback'), 'AllowValidOnly'),
});

const frontendTls = object({ validation: optional(validation) });

const tls = object({
  frontend: optional(
    object({
      default: required(frontendTls),
      perPort: defaulted(
        unique(
          list(object({ port: required(port), tls: required(frontendTls) }), { max: 64 }),
          (entry) => String(entry.port),
          'port',
        ),
        [],
      ),
    }),
  ),
  backend: optional(unsupported('is not supported and has no effect')),
});

function unsupported(reason: string): Decoder<unknown> {
  return refine(anything, (value, at) => {
    at.warn(value, reason);
    return value;
  });
}

export const gatewaySpec: Decoder<GatewaySpec> = refine(
  object({
    gatewayClassName: required(objectName),
    listeners: required(listeners),
    addresses: defaulted(list(address, { max: 16 }), []),
    tls: optional(tls),
    infrastructure: optional(unsupported('has no effect: proxies are not deployed from here')),
    allowedListeners: optional(unsupported('is not supported: no other object adds listeners')),
    defaultScope: optional(unsupported('is not supported and has no effect')),
  }),
  (spec) => ({
    gatewayClassName: spec.gatewayClassName,
    listeners: spec.listeners,
    addresses: spec.addresses,
    frontend: frontends(spec.tls?.frontend),
  }),
);

interface FrontendField {
  readonly default: Validated;
  readonly perPort: readonly { readonly port: number; readonly tls: Validated }[];
}

interface Validated {
  readonly validation: Omit<Frontend, 'port'> | undefined;
}

/** A port without a validation of its own turns the default off. */
function frontends(field: FrontendField | undefined): Frontend[] {
  if (field === undefined) return [];
  const all = [{ port: 0, tls: field.default }, ...field.perPort];
  return all.map((entry) => ({
    port: entry.port,
    mode: entry.tls.validation?.mode ?? 'AllowValidOnly',
    caCertificateRefs: entry.tls.validation?.caCertificateRefs ?? [],
  }));
}
