/** What the mesh says of listeners. */
import type { Query } from '@watershed/derive/graph.ts';
import { AccessLogEncoding } from '@watershed/model/gen/model.ts';
import type { HttpSettings } from '../generators/http-connection-manager.ts';
import type { MeshQueries } from './mesh.ts';

export interface ListenerSettings {
  readonly http: HttpSettings;
  /** Connections that no filter chain takes are logged, too. */
  readonly logUnmatched: boolean;
  /** How long a client may be silent before its protocol counts as unknown; 0: for ever. */
  readonly detectionTimeoutMs: number;
}

export function createListenerSettings(mesh: MeshQueries): Query<string, ListenerSettings> {
  return mesh.facet('listenerSettings', (value): ListenerSettings => ({
    http: {
      pathNormalization: value.pathNormalization,
      accessLog:
        value.accessLogFile === ''
          ? undefined
          : {
              file: value.accessLogFile,
              format: value.accessLogFormat,
              json: value.accessLogEncoding === AccessLogEncoding.ACCESS_LOG_ENCODING_JSON,
            },
    },
    logUnmatched: !value.disableEnvoyListenerLog,
    detectionTimeoutMs: value.protocolDetectionTimeoutMs,
  }));
}
