import { readFileSync } from 'node:fs';
import { create, toBinary } from '@bufbuild/protobuf';
import {
  file_google_protobuf_any,
  file_google_protobuf_descriptor,
  file_google_protobuf_duration,
  file_google_protobuf_empty,
  file_google_protobuf_struct,
  file_google_protobuf_timestamp,
  file_google_protobuf_wrappers,
  FileDescriptorSetSchema,
} from '@bufbuild/protobuf/wkt';

/** Envoy's tree and Istio's have of each only what they need themselves. */
const wellKnown = [
  file_google_protobuf_any,
  file_google_protobuf_descriptor,
  file_google_protobuf_duration,
  file_google_protobuf_empty,
  file_google_protobuf_struct,
  file_google_protobuf_timestamp,
  file_google_protobuf_wrappers,
];

/**
 * FileDescriptorSets, encoded: the services that proxies and tools call (`roots/services.txt`) and
 * all messages that they carry, the contents of Anys too. Of a file that is in several, the first
 * counts.
 */
export function readDescriptors(): readonly Uint8Array[] {
  const file = wellKnown.map(({ proto }) => proto);
  return [
    toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file })),
    ...['./gen/descriptors.binpb', './gen/istio/descriptors.binpb'].map((path) =>
      readFileSync(new URL(path, import.meta.url)),
    ),
  ];
}
