/** An EndpointSlice, as far as it is read. */
import {
  anything,
  bool,
  decode,
  defaulted,
  int,
  invalid,
  isObject,
  isServed,
  list,
  object,
  oneOf,
  optional,
  refine,
  required,
  text,
  type At,
  type FieldsOf,
  type Invalid,
} from '../../decode.ts';
import type { Decoded, RawObject } from '../../kind.ts';
import { isAddress, nameProblem } from '../common/hosts.ts';

export interface SliceSpec {
  /** The Service's name; empty: nobody's. */
  readonly service: string;
  readonly addressType: 'IPv4' | 'IPv6' | 'FQDN';
  readonly endpoints: readonly SliceEndpoint[];
  /** By the name of the Service's port; `''` is the port without a name. */
  readonly ports: Readonly<Record<string, number>>;
}

export interface SliceEndpoint {
  readonly addresses: readonly string[];
  readonly ready: boolean | undefined;
  readonly serving: boolean | undefined;
  readonly terminating: boolean | undefined;
  readonly hostname: string;
  readonly nodeName: string;
  readonly zone: string;
  /** The Pod behind it, in the slice's namespace; empty if it is none. */
  readonly pod: string;
}

export const serviceLabel = 'kubernetes.io/service-name';

const conditions = object({
  ready: optional(bool),
  serving: optional(bool),
  terminating: optional(bool),
});

const endpoint = object(
  {
    addresses: required(list(text({ min: 1, max: 253 }), { min: 1, max: 100 })),
    conditions: defaulted(conditions, {
      ready: undefined,
      serving: undefined,
      terminating: undefined,
    }),
    hostname: defaulted(text({ max: 63 }), ''),
    nodeName: defaulted(text({ max: 253 }), ''),
    zone: defaulted(text({ max: 253 }), ''),
    targetRef: optional(
      object({ kind: defaulted(text(), ''), name: defaulted(text({ max: 253 }), '') }, '*'),
    ),
  },
  ['deprecatedTopology', 'hints', 'topology'],
);

const port = object(
  {
    name: defaulted(text({ max: 63 }), ''),
    // Null is "all ports" there, which no Service asks for.
    port: optional(int(1, 65_535)),
  },
  ['protocol', 'appProtocol'],
);

const sliceFields = {
  metadata: required(anything),
  addressType: required(oneOf('IPv4', 'IPv6', 'FQDN')),
  endpoints: defaulted(list(endpoint, { max: 1_000 }), []),
  ports: defaulted(list(port, { max: 100 }), []),
};

const sliceDecoder = refine(object(sliceFields, ['apiVersion', 'kind']), checkAddresses);

export function decodeSlice(raw: RawObject): Decoded<SliceSpec> {
  const { spec: slice, problems } = decode(sliceDecoder, raw, {
    path: '',
    unknownFields: isServed(raw) ? 'warning' : 'error',
  });
  if (slice === undefined) return { problems };
  const labels = raw.metadata['labels'];
  const service = isObject(labels) ? labels[serviceLabel] : undefined;
  const spec = {
    service: typeof service === 'string' ? service : '',
    addressType: slice.addressType,
    endpoints: slice.endpoints.map(({ conditions: states, targetRef, ...found }) => ({
      ...found,
      ...states,
      addresses: found.addresses.map((address) => address.toLowerCase()),
      pod: targetRef?.kind === 'Pod' ? targetRef.name : '',
    })),
    ports: Object.fromEntries(
      slice.ports.flatMap((found) =>
        found.port === undefined ? [] : [[found.name, found.port] as const],
      ),
    ),
  };
  return { spec, problems };
}

function checkAddresses(
  slice: FieldsOf<typeof sliceFields>,
  at: At,
): FieldsOf<typeof sliceFields> | Invalid {
  const { addressType } = slice;
  let isValid = true;
  for (const [index, { addresses }] of slice.endpoints.entries()) {
    for (const [position, address] of addresses.entries()) {
      const isRight =
        addressType === 'FQDN'
          ? nameProblem(address) === undefined
          : isAddress(address) && address.includes(':') === (addressType === 'IPv6');
      if (isRight) continue;
      const here = at.field('endpoints').item(index).field('addresses').item(position);
      here.error(address, `must be of the slice's addressType, ${addressType}`);
      isValid = false;
    }
  }
  return isValid ? slice : invalid;
}
