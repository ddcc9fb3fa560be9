// Payload's log goes to stderr: stdout belongs to the driver's protocol.
export const logger = {
  options: { level: process.env.PAYLOAD_LOG_LEVEL || 'error' },
  destination: process.stderr,
}
