/** Access logs to a file, in istiod's default formats or the mesh's own. */
import type { AccessLog } from '@watershed/proto/gen/envoy/config/accesslog/v3/accesslog.ts';
import { SubstitutionFormatString } from '@watershed/proto/gen/envoy/config/core/v3/substitution_format_string.ts';
import { FileAccessLog } from '@watershed/proto/gen/envoy/extensions/access_loggers/file/v3/file.ts';
import { pack, typeUrls } from '@watershed/proto/any.ts';

export interface AccessLogArgument {
  /** A path; `/dev/stdout` for the proxy's standard output. */
  readonly file: string;
  /** The whole format, in Envoy's operators; JSON text where `json`; '' for istiod's. */
  readonly format: string;
  readonly json: boolean;
}

const defaultText = [
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%"',
  '%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS%',
  '"%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% %DURATION%',
  '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%"',
  '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW%',
  '%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS%',
  '%REQUESTED_SERVER_NAME% %ROUTE_NAME%\n',
].join(' ');

const defaultJson = {
  authority: '%REQ(:AUTHORITY)%',
  bytes_received: '%BYTES_RECEIVED%',
  bytes_sent: '%BYTES_SENT%',
  connection_termination_details: '%CONNECTION_TERMINATION_DETAILS%',
  downstream_local_address: '%DOWNSTREAM_LOCAL_ADDRESS%',
  downstream_remote_address: '%DOWNSTREAM_REMOTE_ADDRESS%',
  duration: '%DURATION%',
  method: '%REQ(:METHOD)%',
  path: '%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%',
  protocol: '%PROTOCOL%',
  request_id: '%REQ(X-REQUEST-ID)%',
  requested_server_name: '%REQUESTED_SERVER_NAME%',
  response_code: '%RESPONSE_CODE%',
  response_code_details: '%RESPONSE_CODE_DETAILS%',
  response_flags: '%RESPONSE_FLAGS%',
  route_name: '%ROUTE_NAME%',
  start_time: '%START_TIME%',
  upstream_cluster: '%UPSTREAM_CLUSTER_RAW%',
  upstream_host: '%UPSTREAM_HOST%',
  upstream_local_address: '%UPSTREAM_LOCAL_ADDRESS%',
  upstream_service_time: '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%',
  upstream_transport_failure_reason: '%UPSTREAM_TRANSPORT_FAILURE_REASON%',
  user_agent: '%REQ(USER-AGENT)%',
  x_forwarded_for: '%REQ(X-FORWARDED-FOR)%',
};

/**
 * @param flags only what has one of these response flags. A listener logs what no filter chain took
 *   (`NR`): all else is logged by who took it.
 */
export function accessLogs(
  argument: AccessLogArgument | undefined,
  flags: readonly string[] = [],
): AccessLog[] {
  if (argument === undefined) return [];
  const file = FileAccessLog.fromPartial({ path: argument.file });
  file.accessLogFormat = { $case: 'logFormat', value: formatOf(argument) };
  return [
    {
      name: 'envoy.access_loggers.file',
      filter:
        flags.length === 0
          ? undefined
          : { filterSpecifier: { $case: 'responseFlagFilter', value: { flags: [...flags] } } },
      configType: {
        $case: 'typedConfig',
        value: pack(typeUrls.fileAccessLog, FileAccessLog, file),
      },
    },
  ];
}

function formatOf({ format, json }: AccessLogArgument): SubstitutionFormatString {
  const made = SubstitutionFormatString.fromPartial({});
  if (json) {
    made.format = { $case: 'jsonFormat', value: jsonOf(format) ?? defaultJson };
  } else {
    // Envoy ends no line by itself.
    const line = format === '' ? defaultText : format.endsWith('\n') ? format : `${format}\n`;
    made.format = {
      $case: 'textFormatSource',
      value: { specifier: { $case: 'inlineString', value: line }, watchedDirectory: undefined },
    };
  }
  return made;
}

/** `undefined` for what is no JSON object: istiod falls back to its own format. */
function jsonOf(format: string): Record<string, unknown> | undefined {
  if (format === '') return undefined;
  try {
    const parsed: unknown = JSON.parse(format);
    if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return undefined;
    return Object.fromEntries(Object.entries(parsed));
  } catch {
    return undefined;
  }
}
