"""Floor 5: replay runs and the nightly job — resend exactly what is proven missing, once."""
