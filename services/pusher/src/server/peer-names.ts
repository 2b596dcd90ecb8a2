/** `URI:spiffe://…` parts of Node's text of a certificate's subject alternative names. */
export function uriNames(subjectAltName: string): readonly string[] {
  return subjectAltName
    .split(', ')
    .filter((name) => name.startsWith('URI:'))
    .map((name) => name.slice('URI:'.length));
}
