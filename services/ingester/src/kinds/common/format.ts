/**
 * Envoy's format strings, of header values and access logs: `%START_TIME(%s)%`, `%REQ(A?B):10%`,
 * `%%`. One variable that a proxy does not know makes it refuse all of a route table or listener;
 * these are made for proxies of all versions, so what the oldest does not take is refused here.
 */
import { controlProblem, isHeaderName } from './headers.ts';

interface Variable {
  /** What stands in parentheses behind it; a pattern says it all, with an empty text for none. */
  readonly given: 'nothing' | 'options' | 'arguments' | 'headers' | RegExp;
  /** Whether it may be cut: `%REQ(A):10%`. */
  readonly takesLength: boolean;
}

type Variables = ReadonlyMap<string, Variable>;

const oldest = '1.36';

const plain = `
  ACCESS_LOG_TYPE BYTES_RECEIVED BYTES_RETRANSMITTED BYTES_SENT CONNECTION_ID
  CONNECTION_TERMINATION_DETAILS CUSTOM_FLAGS DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED
  DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT DOWNSTREAM_DIRECT_LOCAL_ADDRESS
  DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT DOWNSTREAM_DIRECT_LOCAL_PORT
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT
  DOWNSTREAM_DIRECT_REMOTE_PORT DOWNSTREAM_HANDSHAKE_DURATION DOWNSTREAM_HEADER_BYTES_RECEIVED
  DOWNSTREAM_HEADER_BYTES_SENT DOWNSTREAM_LOCAL_ADDRESS DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT
  DOWNSTREAM_LOCAL_DNS_SAN DOWNSTREAM_LOCAL_EMAIL_SAN DOWNSTREAM_LOCAL_IP_SAN
  DOWNSTREAM_LOCAL_OTHERNAME_SAN DOWNSTREAM_LOCAL_PORT DOWNSTREAM_LOCAL_SUBJECT
  DOWNSTREAM_LOCAL_URI_SAN DOWNSTREAM_PEER_CERT DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1
  DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256 DOWNSTREAM_PEER_CHAIN_SERIALS DOWNSTREAM_PEER_DNS_SAN
  DOWNSTREAM_PEER_EMAIL_SAN DOWNSTREAM_PEER_FINGERPRINT_1 DOWNSTREAM_PEER_FINGERPRINT_256
  DOWNSTREAM_PEER_IP_SAN DOWNSTREAM_PEER_ISSUER DOWNSTREAM_PEER_OTHERNAME_SAN
  DOWNSTREAM_PEER_SERIAL DOWNSTREAM_PEER_SUBJECT DOWNSTREAM_PEER_URI_SAN
  DOWNSTREAM_REMOTE_ADDRESS DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT DOWNSTREAM_REMOTE_PORT
  DOWNSTREAM_TLS_CIPHER DOWNSTREAM_TLS_SESSION_ID DOWNSTREAM_TLS_VERSION
  DOWNSTREAM_TRANSPORT_FAILURE_REASON DOWNSTREAM_WIRE_BYTES_RECEIVED
  DOWNSTREAM_WIRE_BYTES_SENT DURATION FILTER_CHAIN_NAME GRPC_STATUS_NUMBER HOSTNAME
  LOCAL_REPLY_BODY PACKETS_RETRANSMITTED PROTOCOL REQUESTED_SERVER_NAME REQUEST_DURATION
  REQUEST_HEADERS_BYTES REQUEST_TX_DURATION RESPONSE_CODE RESPONSE_DURATION RESPONSE_FLAGS
  RESPONSE_FLAGS_LONG RESPONSE_HEADERS_BYTES RESPONSE_TRAILERS_BYTES RESPONSE_TX_DURATION
  ROUNDTRIP_DURATION ROUTE_NAME STREAM_ID TLS_JA3_FINGERPRINT TLS_JA4_FINGERPRINT TRACE_ID
  UNIQUE_ID UPSTREAM_CLUSTER UPSTREAM_CLUSTER_RAW UPSTREAM_CONNECTION_ID
  UPSTREAM_CONNECTION_POOL_READY_DURATION UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED
  UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT UPSTREAM_HEADER_BYTES_RECEIVED
  UPSTREAM_HEADER_BYTES_SENT UPSTREAM_HOST UPSTREAM_HOST_NAME UPSTREAM_HOST_NAME_WITHOUT_PORT
  UPSTREAM_LOCAL_ADDRESS UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT UPSTREAM_LOCAL_DNS_SAN
  UPSTREAM_LOCAL_IP_SAN UPSTREAM_LOCAL_PORT UPSTREAM_LOCAL_URI_SAN UPSTREAM_PEER_CERT
  UPSTREAM_PEER_DNS_SAN UPSTREAM_PEER_IP_SAN UPSTREAM_PEER_ISSUER UPSTREAM_PEER_SUBJECT
  UPSTREAM_PEER_URI_SAN UPSTREAM_PROTOCOL UPSTREAM_REMOTE_ADDRESS
  UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT UPSTREAM_REMOTE_PORT UPSTREAM_REQUEST_ATTEMPT_COUNT
  UPSTREAM_TLS_CIPHER UPSTREAM_TLS_SESSION_ID UPSTREAM_TLS_VERSION
  UPSTREAM_TRANSPORT_FAILURE_REASON UPSTREAM_WIRE_BYTES_RECEIVED UPSTREAM_WIRE_BYTES_SENT
  VIRTUAL_CLUSTER_NAME
`;
const withOptions = `
  DOWNSTREAM_PEER_CERT_V_END DOWNSTREAM_PEER_CERT_V_START EMIT_TIME EMIT_TIME_LOCAL
  RESPONSE_CODE_DETAILS START_TIME START_TIME_LOCAL UPSTREAM_PEER_CERT_V_END
  UPSTREAM_PEER_CERT_V_START
`;
const withArguments = 'CLUSTER_METADATA DYNAMIC_METADATA UPSTREAM_METADATA';
const path = /^(?:WQ|NQ)?(?::(?:ORIG|PATH|ORIG_OR_PATH)?)?$/u;
const metadata = /^(?:CLUSTER|DYNAMIC|LISTENER|ROUTE|UPSTREAM_HOST|VIRTUAL_HOST)(?::|$)/u;
const filterState = /^[^:]+(?::(?:PLAIN|TYPED|FIELD:.+)?)?$/su;

/** Of access logs: what `envoy --mode validate` of 1.36 takes, and that of 1.40 too. */
export const logVariables: Variables = new Map([
  ...named('nothing', plain),
  ...named('options', withOptions),
  ...named('arguments', withArguments),
  ...named('arguments', 'CEL ENVIRONMENT QUERY_PARAM', true),
  ...named('headers', 'REQ RESP TRAILER', true),
  ...named(/^(?:CAMEL_STRING|SNAKE_STRING|NUMBER)?$/u, 'GRPC_STATUS'),
  ...named(/^[^:]*:[^:]*(?::(?:ms|us|ns))?$/u, 'COMMON_DURATION'),
  ...named(path, 'PATH', true),
  ...named(metadata, 'METADATA', true),
  ...named(filterState, 'FILTER_STATE UPSTREAM_FILTER_STATE', true),
]);

export const headerVariables: Variables = new Map([
  ...logVariables,
  ...named('arguments', 'PER_REQUEST_STATE'),
]);

function named(
  given: Variable['given'],
  names: string,
  takesLength = false,
): readonly (readonly [string, Variable])[] {
  return names
    .trim()
    .split(/\s+/u)
    .map((name) => [name, { given, takesLength }] as const);
}

const part = /[^%]+|%%|%(?<name>[A-Z0-9_]+)(?:\((?<given>.*?)\))?(?<length>:[0-9]{1,9})?%/suy;

/** Why some Envoy would refuse it in an access log; undefined if all take it. */
export function formatProblem(format: string): string | undefined {
  return problemOf(format, logVariables);
}

/** Why some Envoy would refuse a value of a header to add. */
export function headerValueProblem(value: string): string | undefined {
  return controlProblem(value) ?? problemOf(value, headerVariables);
}

function problemOf(format: string, known: Variables): string | undefined {
  part.lastIndex = 0;
  while (part.lastIndex < format.length) {
    const groups = part.exec(format)?.groups;
    if (groups === undefined) {
      return 'has a "%" that is neither doubled nor the start of a variable';
    }
    const { name, given, length } = groups;
    if (name === undefined) continue;
    const problem = variableProblem(known.get(name), given, length);
    if (problem !== undefined) return `has %${name}%, which ${problem}`;
  }
  return undefined;
}

function variableProblem(
  variable: Variable | undefined,
  given: string | undefined,
  length: string | undefined,
): string | undefined {
  if (variable === undefined) return `is no variable of Envoy ${oldest}, the oldest supported`;
  if (length !== undefined && !variable.takesLength) return 'takes no length';
  return givenProblem(variable.given, given);
}

function givenProblem(wanted: Variable['given'], given = ''): string | undefined {
  if (wanted === 'options') return undefined;
  if (wanted === 'nothing') return given === '' ? undefined : 'takes nothing in parentheses';
  if (wanted instanceof RegExp && wanted.test(given)) return undefined;
  if (given === '') return 'needs something in parentheses';
  if (wanted instanceof RegExp) return `does not take (${given})`;
  const headers = given.split('?').map((one) => one.replace(/^:/u, ''));
  const isNamed = headers.length <= 2 && headers.every(isHeaderName);
  return wanted === 'arguments' || isNamed ? undefined : 'must name a header, or two as (A?B)';
}
