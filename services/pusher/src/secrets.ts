/**
 * Secrets over SDS. Their blobs are sealed: an `Event` of the model, as the ingester wrote it. This
 * is the one place that opens one, when a response for a stream that may have it is written; what
 * is open lives in that response's buffer and nowhere else, and is never logged.
 */
import { Event, SecretMaterial } from '@watershed/model/gen/model.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import type { DataSource } from '@watershed/proto/envoy/config/core/v3/base.ts';
import { Secret } from '@watershed/proto/envoy/extensions/transport_sockets/tls/v3/secret.ts';
import { OperatingError, toOperatingError } from '@watershed/runtime/errors.ts';
import type { Logger } from '@watershed/runtime/logger.ts';
import type { Sealing } from '@watershed/runtime/sealing.ts';
import type { Materialise } from './session/frame.ts';
import type { Entry } from './view/type-view.ts';

/** The roots of a secret go by its name with this behind it. */
const caSuffix = '-cacert';

/**
 * Gives an entry's message: its fragments, or for a secret what is sealed in them. A secret that
 * cannot be opened is not sent, and the proxy keeps what it has.
 */
export function createMaterialise(sealing: Sealing | undefined, logger: Logger): Materialise {
  return (entry) => {
    if (entry.typeUrl !== resourceTypes.secret) return entry.fragments;
    try {
      return [openSecret(entry, sealing)];
    } catch (error) {
      // The error's own text could quote what it choked on.
      const { code } = toOperatingError(error);
      logger.error('a secret cannot be opened', { resource: entry.name, code });
      return undefined;
    }
  };
}

function openSecret(entry: Entry, sealing: Sealing | undefined): Uint8Array {
  if (sealing === undefined) throw new OperatingError('not-found', 'there is no sealing key');
  const { object } = Event.decode(Buffer.concat(entry.fragments ?? []));
  if (object?.$case !== 'secret') throw new OperatingError('corrupt', 'not a secret');
  const { sealed, keyId } = object.value;
  const material = SecretMaterial.decode(sealing.unseal(sealed, keyId));
  return Secret.encode(secretOf(entry.name, material)).finish();
}

function secretOf(name: string, material: SecretMaterial): Secret {
  const inline = (value: Uint8Array): DataSource => ({
    specifier: { $case: 'inlineBytes', value },
    watchedDirectory: undefined,
  });
  const optional = (value: Uint8Array): DataSource | undefined =>
    value.length === 0 ? undefined : inline(value);
  if (name.endsWith(caSuffix)) {
    return Secret.fromPartial({
      name,
      type: {
        $case: 'validationContext',
        value: { trustedCa: inline(material.caCertificates), crl: optional(material.crl) },
      },
    });
  }
  return Secret.fromPartial({
    name,
    type: {
      $case: 'tlsCertificate',
      value: {
        certificateChain: inline(material.certificateChain),
        privateKey: inline(material.privateKey),
        ocspStaple: optional(material.ocspStaple),
      },
    },
  });
}
