import { readFileSync } from 'node:fs';
import { createFileRegistry, fromBinary, type FileRegistry } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';

/**
 * Descriptors of what users write in Istio's API: the messages of `roots/istio.txt` and all they
 * refer to.
 */
export const istioRegistry: FileRegistry = createFileRegistry(
  fromBinary(
    FileDescriptorSetSchema,
    readFileSync(new URL('./gen/istio/descriptors.binpb', import.meta.url)),
  ),
);
