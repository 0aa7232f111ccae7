"""Who may go into Triton now, who waits, and who is turned away, with the reason (docs/overload.md)."""

from fovea_server.request.admission.admission import Admission as Admission
from fovea_server.request.admission.settings import AdmissionSettings as AdmissionSettings
